"""Tokenize: values in, random tokens out, with exactly one effect for each idempotency key.

The steps carry the numbers of docs/request-path.md; 1 (identify) and 2 (decode) come
before, in `vault.rpc.boundary`, 8 (reply) after.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from vault.audit.account import ItemNote
from vault.crypto.aead import SubjectKey
from vault.crypto.binding import field_aad
from vault.crypto.index_key import IndexKey
from vault.crypto.tokens import new_token, token_digest
from vault.errors import Reason, VaultError, Violation, invalid
from vault.fields import FieldType, ValueInvalidError
from vault.model import Refusal, SubjectId, Verdict
from vault.policy.bundle import Act
from vault.rows import DoneWrite, NewWrite, TokenRow
from vault.service.call import Call, FieldInput, Issued, TokenizeCommand
from vault.service.cases import Cases
from vault.service.index_keys import IndexKeys
from vault.service.outcome import pack_outcome, unpack_outcome
from vault.service.recorder import Recorder
from vault.service.subject_keys import KeyName, SubjectKeys
from vault.service.subjects import Lookup, Subjects
from vault.telemetry import names

IssueResult = Issued | Refusal


@dataclass(slots=True)
class _Item:
    """One value on its way."""

    note: ItemNote
    input: FieldInput
    ref_digest: bytes = field(repr=False)
    canonical: str = field(default="", repr=False)
    result: IssueResult | None = None

    def refuse(self, refusal: Refusal, policies: tuple[str, ...] = ()) -> None:
        self.note.refuse(refusal.reason, policies, refusal.verdict)
        self.result = refusal


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
        recorder: Recorder,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._environment = environment
        self._index_keys = index_keys
        self._subjects = subjects
        self._cases = cases
        self._keys = keys
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
            [_Item(ItemNote(field_type=value.field_type), value, b"") for value in subject.fields]
            for subject in command.subjects
        ]
        items = [item for group in groups for item in group]
        for item in items:
            self._check(call, item)
        call.account.items = [item.note for item in items]
        for item in items:
            self._decide(call, item)

        # 4. Find the subjects, and whether this very write was done before.
        call.trace.mark(names.STAGE_RESOLVE)
        await self._cases.enter(call, command.case)
        index_key = await self._index_keys.get(call.tenant)
        write = _claim(index_key, call, command)
        for subject, group in zip(command.subjects, groups, strict=True):
            digest = index_key.subject_ref_digest(subject.subject_ref)
            for item in group:
                item.ref_digest = digest
        digests = list({item.ref_digest for item in items})
        known = await self._subjects.find(
            Lookup(call.tenant, digests, write.key_digest), call.trace
        )
        if known.done is not None:
            return await self._repeat(call, write, known.done, known.subjects, groups)
        found = known.subjects
        _note_subjects(items, found)
        if command.all_or_nothing:
            _require_all(items)
        storable = {item.ref_digest for item in items if item.result is None}
        new = [digest for digest in digests if digest in storable and digest not in found]
        if new:
            found = found | await self._subjects.bind(
                call.tenant, index_key.version, new, call.trace
            )
        _note_subjects(items, found)

        # 5. Unwrap the subject keys that are not in memory.
        call.trace.mark(names.STAGE_UNWRAP)
        keys = await self._keys.open(
            call.tenant, {found[digest] for digest in storable}, call.trace
        )

        # 6. Seal each value under its subject's key, bound to its token.
        call.trace.mark(names.STAGE_SEAL)
        rows = [
            row
            for item in items
            if item.result is None
            for row in self._seal(call, item, found[item.ref_digest], keys)
        ]

        # 7. Make the write, its tokens and the entries durable, all or none of it.
        call.trace.mark(names.STAGE_COMMIT)
        results = [[_result(item) for item in group] for group in groups]
        done = await self._recorder.record_write(
            call.account,
            NewWrite(write.key_digest, call.tenant, write.request_digest, pack_outcome(results)),
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
        found: dict[bytes, tuple[SubjectId, int]],
        groups: list[list[_Item]],
    ) -> list[list[IssueResult]]:
        """The results of the write that was done before, recorded as a call of its own."""
        items = [item for group in groups for item in group]
        _note_subjects(items, found)
        if done.request_digest != write.request_digest:
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
    key_digest: bytes = field(repr=False)
    request_digest: bytes = field(repr=False)


def _claim(index_key: IndexKey, call: Call, command: TokenizeCommand) -> _Claim:
    return _Claim(
        index_key.idempotency_digest(call.principal.id, command.idempotency_key),
        index_key.request_digest(command.content),
    )


def _note_subjects(items: Sequence[_Item], found: dict[bytes, tuple[SubjectId, int]]) -> None:
    for item in items:
        if item.ref_digest in found:
            item.note.subject_id = found[item.ref_digest][0]


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
