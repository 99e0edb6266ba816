"""Tokenize: values in, random tokens out, with exactly one effect for each idempotency key.

The steps carry the numbers of docs/request-path.md; 1 (identify) and 2 (decode) come
before, in `vault.rpc.boundary`, 8 (reply) after.
"""

import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from vault.audit.account import ItemNote
from vault.crypto.aead import SubjectKey
from vault.crypto.binding import field_aad
from vault.crypto.index_key import IndexChain
from vault.crypto.tokens import new_token, token_digest
from vault.errors import OutdatedKeysError, Reason, VaultError, Violation, invalid
from vault.fields import FieldType, ValueInvalidError
from vault.model import Digests, Refusal, Verdict
from vault.policy.bundle import Act
from vault.rows import DoneWrite, NewWrite, TokenRow
from vault.service.call import Call, FieldInput, Issued, TokenizeCommand
from vault.service.cases import Cases
from vault.service.index_keys import IndexKeys
from vault.service.outcome import pack_outcome, unpack_outcome
from vault.service.recorder import Recorder
from vault.service.seal_uses import SealUses
from vault.service.subject_keys import KeyName, SubjectKeys
from vault.service.subjects import Found, Lookup, Subjects
from vault.telemetry import names

IssueResult = Issued | Refusal

_ATTEMPTS = 3
"""How often a call whose keys are rotated under it begins again, and once more."""


@dataclass(slots=True)
class _Item:
    """One value on its way."""

    note: ItemNote
    input: FieldInput
    ref: Digests = field(default=(), repr=False)
    canonical: str = field(default="", repr=False)
    result: IssueResult | None = None

    def refuse(self, refusal: Refusal, policies: tuple[str, ...] = ()) -> None:
        self.note.refuse(refusal.reason, policies, refusal.verdict)
        self.result = refusal

    def begin_again(self) -> None:
        """Forgets a token that was drawn and not stored."""
        if isinstance(self.result, Issued):
            self.result = None
            self.note.token_digest = b""


class Tokenizer:
    """The procedure. Holds no state between calls."""

    def __init__(
        self,
        *,
        environment: str,
        index_keys: IndexKeys,
        subjects: Subjects,
        cases: Cases,
        keys: SubjectKeys,
        uses: SealUses,
        recorder: Recorder,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._environment = environment
        self._index_keys = index_keys
        self._subjects = subjects
        self._cases = cases
        self._keys = keys
        self._uses = uses
        self._recorder = recorder
        self._random = random

    async def tokenize(self, call: Call, command: TokenizeCommand) -> list[list[IssueResult]]:
        """A result for each value, in order, once tokens and entries are durable.

        Raises:
            VaultError: nothing was stored; or OUTCOME_UNKNOWN: a retry with the same
                idempotency key finds out.
        """
        # 3. Normalise and validate each value; decide whether the caller may store it.
        call.trace.mark(names.STAGE_POLICY)
        groups = [
            [_Item(ItemNote(field_type=value.field_type), value) for value in subject.fields]
            for subject in command.subjects
        ]
        items = [item for group in groups for item in group]
        for item in items:
            self._check(call, item)
        call.account.items = [item.note for item in items]
        for item in items:
            self._decide(call, item)

        for _ in range(_ATTEMPTS - 1):
            try:
                return await self._store(call, command, groups, is_last=False)
            except OutdatedKeysError:
                # A key was replaced between two steps; the newest ones are asked for anew.
                self._index_keys.forget(call.tenant)
                for item in items:
                    item.begin_again()
        return await self._store(call, command, groups, is_last=True)

    async def _store(
        self,
        call: Call,
        command: TokenizeCommand,
        groups: list[list[_Item]],
        *,
        is_last: bool,
    ) -> list[list[IssueResult]]:
        """Steps 4 to 7.

        Raises:
            OutdatedKeysError: nothing was stored; the steps are to be gone through again.
            VaultError: as `tokenize`.
        """
        items = [item for group in groups for item in group]

        # 4. Find the subjects, and whether this very write was done before.
        call.trace.mark(names.STAGE_RESOLVE)
        await self._cases.enter(call, command.case)
        index = await self._index_keys.get(call.tenant)
        write = _claim(index, call, command)
        for subject, group in zip(command.subjects, groups, strict=True):
            ref = index.subject_ref(subject.subject_ref)
            for item in group:
                item.ref = ref
        refs = list({item.ref for item in items})
        known = await self._subjects.find(Lookup(call.tenant, refs, write.key), call.trace)
        if known.done is not None:
            return await self._repeat(call, write, known.done, known.subjects, groups)
        found = known.subjects
        _note_subjects(items, found)
        if command.all_or_nothing:
            _require_all(items)
        storable = [item for item in items if item.result is None]
        new = list({item.ref for item in storable if item.ref not in found})
        if new:
            found = found | await self._subjects.bind(call.tenant, index.live, new, call.trace)
        _note_subjects(items, found)

        # 5. Unwrap the subject keys that are not in memory, and charge them with the seals to come.
        call.trace.mark(names.STAGE_UNWRAP)
        seals = Counter(found[item.ref] for item in storable)
        await self._uses.charge(seals, call.trace)
        keys = await self._keys.open(call.tenant, seals.keys(), call.trace)
        if len(keys) < len(seals) and not is_last:
            raise OutdatedKeysError  # most likely its subject was erased since step 4

        # 6. Seal each value under its subject's key, bound to its token.
        call.trace.mark(names.STAGE_SEAL)
        rows = [row for item in storable for row in self._seal(call, item, found[item.ref], keys)]

        # 7. Make the write, its tokens and the entries durable, all or none of it.
        call.trace.mark(names.STAGE_COMMIT)
        results = [[_result(item) for item in group] for group in groups]
        done = await self._recorder.record_write(
            call.account,
            NewWrite(write.key, call.tenant, write.request, index.live, pack_outcome(results)),
            rows,
            call.trace,
        )
        if done is not None:
            # Another process did this very write between steps 4 and 7.
            return await self._repeat(call, write, done, found, groups)
        return results

    def _check(self, call: Call, item: _Item) -> None:
        field_type = call.bundle.field_types.get(item.input.field_type)
        if field_type is None:
            item.note.field_type = ""  # foreign text does not enter the log
            raise invalid(
                Reason.FIELD_TYPE_UNKNOWN,
                f"{item.input.path}.field_type",
                "is no field type of the policy bundle",
            )
        if len(item.input.value) > field_type.max_chars:
            raise invalid(
                Reason.FIELD_TOO_LONG,
                f"{item.input.path}.value",
                f"is longer than {field_type.max_chars} characters",
            )
        try:
            item.canonical = field_type.normalise(item.input.value)
        except ValueInvalidError as error:
            item.refuse(Refusal(Verdict.INVALID, Reason.VALUE_INVALID, error.detail))

    def _decide(self, call: Call, item: _Item) -> None:
        decision = call.bundle.decide_act(
            call.principal, Act.TOKENIZE, field_type=item.input.field_type
        )
        if not decision.is_allowed:
            item.refuse(Refusal(Verdict.REFUSED, decision.reason), decision.policies)
        elif item.result is None:
            item.note.allow(decision)

    def _seal(
        self, call: Call, item: _Item, name: KeyName, keys: dict[KeyName, SubjectKey]
    ) -> Sequence[TokenRow]:
        subject_id, key_version = name
        key = keys.get(name)
        if key is None:
            item.refuse(Refusal(Verdict.FAILED, Reason.DATA_CORRUPT))
            return ()
        field_type: FieldType = call.bundle.field_types[item.input.field_type]
        token = new_token(field_type.token_prefix, self._environment, self._random)
        item.note.token_digest = token_digest(token)
        item.result = Issued(token)
        aad = field_aad(
            tenant=call.tenant, subject_id=subject_id, field_type=field_type.name, token=token
        )
        envelope = key.seal(item.canonical.encode(), aad)
        return (TokenRow(token, call.tenant, subject_id, field_type.name, key_version, envelope),)

    async def _repeat(
        self,
        call: Call,
        write: "_Claim",
        done: DoneWrite,
        found: Found,
        groups: list[list[_Item]],
    ) -> list[list[IssueResult]]:
        """The results of the write that was done before, recorded as a call of its own."""
        items = [item for group in groups for item in group]
        _note_subjects(items, found)
        if done.request_digest not in write.request:
            raise invalid(
                Reason.IDEMPOTENCY_KEY_REUSED,
                "idempotency_key",
                "was used for a different request",
            )
        results = unpack_outcome(done.outcome)
        for item, before in zip(items, (r for group in results for r in group), strict=True):
            if isinstance(item.result, Refusal) and item.result.verdict is Verdict.REFUSED:
                continue  # the rules have changed since: what they refuse now stays refused
            item.result = before
            if isinstance(before, Issued):
                item.note.token_digest = token_digest(before.token)
            else:
                item.note.refuse(before.reason, verdict=before.verdict)
        await self._recorder.record(call.account, call.trace)
        return [[_result(item) for item in group] for group in groups]


@dataclass(frozen=True, slots=True)
class _Claim:
    key: Digests = field(repr=False)
    request: Digests = field(repr=False)


def _claim(index: IndexChain, call: Call, command: TokenizeCommand) -> _Claim:
    return _Claim(
        index.idempotency(call.principal.id, command.idempotency_key),
        index.request(command.content),
    )


def _note_subjects(items: Sequence[_Item], found: Found) -> None:
    for item in items:
        if item.ref in found:
            item.note.subject_id = found[item.ref][0]


def _require_all(items: Sequence[_Item]) -> None:
    for item in items:
        if isinstance(item.result, Refusal):
            text = item.result.detail or item.result.reason.name
            raise VaultError(
                item.result.reason,
                f"{item.input.path}: {text}; the call wants all or nothing",
                violations=(Violation(item.input.path, text),),
            )


def _result(item: _Item) -> IssueResult:
    if item.result is None:
        raise VaultError(Reason.INTERNAL, "an item was left without a verdict")
    return item.result
