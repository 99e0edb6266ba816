"""Detokenize: values for tokens, to those whom policy allows, after the entry is durable.

The steps carry the numbers of docs/request-path.md; 1 (identify) and 2 (decode) come
before, in `vault.rpc.boundary`, 8 (reply) after.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

from vault.audit.account import ItemNote
from vault.clock import Clock
from vault.crypto.aead import DecryptError, SubjectKey
from vault.crypto.binding import field_aad
from vault.crypto.tokens import token_digest
from vault.errors import Reason, VaultError, Violation
from vault.fields import FieldType, ViewUnavailableError
from vault.model import Decision, Refusal, SubjectId, Verdict, View
from vault.rows import TokenRow
from vault.service.call import Call, DetokenizeQuery, Revealed, WantedToken
from vault.service.cases import Cases
from vault.service.recorder import Recorder
from vault.service.subject_keys import SubjectKeys
from vault.telemetry import names
from vault.telemetry.trace import CallTrace

RevealResult = Revealed | Refusal


class TokenLoader(Protocol):
    """Rows by token; one trip serves many calls."""

    async def submit(self, item: Sequence[str], rider: CallTrace) -> dict[str, TokenRow]: ...


class ErasedReader(Protocol):
    """Which subjects were erased."""

    async def find_erased(self, subjects: Sequence[SubjectId]) -> AbstractSet[SubjectId]: ...


@dataclass(slots=True)
class _Item:
    """One item on its way: its note, and what the steps find out."""

    note: ItemNote
    wanted: WantedToken
    row: TokenRow | None = None
    decision: Decision | None = None
    result: RevealResult | None = None

    def refuse(self, reason: Reason, verdict: Verdict = Verdict.REFUSED) -> None:
        policies = self.decision.policies if self.decision else ()
        self.note.refuse(reason, policies, verdict)
        self.result = Refusal(verdict, reason)


class Detokenizer:
    """The procedure. Holds no state between calls."""

    def __init__(
        self,
        *,
        rows: TokenLoader,
        cases: Cases,
        keys: SubjectKeys,
        erased: ErasedReader,
        recorder: Recorder,
        clock: Clock,
    ) -> None:
        self._rows = rows
        self._cases = cases
        self._keys = keys
        self._erased = erased
        self._recorder = recorder
        self._clock = clock

    async def detokenize(self, call: Call, query: DetokenizeQuery) -> list[RevealResult]:
        """A result for each item, in order, once the entries that say so are durable.

        Raises:
            VaultError: the machinery failed, or (all or nothing) an item was not allowed.
        """
        call.account.purpose = query.purpose if query.purpose in call.bundle.purposes else ""
        items = [_Item(ItemNote(wanted=wanted.view), wanted) for wanted in query.items]
        call.account.items = [item.note for item in items]

        # 3. Load the rows: labels and ciphertext. Another tenant's token is an unknown one.
        call.trace.mark(names.STAGE_LOAD)
        await self._cases.enter(call, query.case)
        await self._load(call, items)

        # 4. Decide, item by item.
        call.trace.mark(names.STAGE_POLICY)
        decisions: dict[tuple[str, View], Decision] = {}
        for item in items:
            if item.row is not None:
                self._decide(call, query.purpose, item, item.row, decisions)
        if query.all_or_nothing:
            _require_all(items)

        # 5. Unwrap the subject keys that are not in memory. What was erased has an empty envelope;
        # what was stored while its subject was erased has no key.
        call.trace.mark(names.STAGE_UNWRAP)
        rows = [item.row for item in items if item.row is not None and item.result is None]
        sealed = [row for row in rows if row.envelope]
        names_of_keys = {(row.subject_id, row.key_version) for row in sealed}
        keys = await self._keys.open(call.tenant, names_of_keys, call.trace)
        if len(keys) < len(names_of_keys) or len(sealed) < len(rows):
            gone = {row.subject_id for row in rows if (row.subject_id, row.key_version) not in keys}
            erased = await self._erased.find_erased(list(gone)) if gone else set()
            for item in items:
                if item.row is not None and item.result is None and item.row.subject_id in erased:
                    item.refuse(Reason.ERASED)

        # 6. Open each value and render the view.
        call.trace.mark(names.STAGE_OPEN)
        today = dt.datetime.fromtimestamp(self._clock.unix_ns() / 1e9, dt.UTC).date()
        for item in items:
            if item.row is not None and item.result is None:
                key = keys.get((item.row.subject_id, item.row.key_version))
                _reveal(item, item.row, key, call.bundle.field_types, today)
        if query.all_or_nothing:
            _require_all(items)

        # 7. Make the entries durable. Until this returns, no value leaves.
        call.trace.mark(names.STAGE_AUDIT)
        await self._recorder.record(call.account, call.trace)
        return [_result(item) for item in items]

    async def _load(self, call: Call, items: list[_Item]) -> None:
        wanted: list[str] = []
        for item in items:
            if item.wanted.is_sound:
                token = item.wanted.token
                item.note.token_digest = token_digest(token)
                wanted.append(token)
            else:
                # Not digested: what is no token may be personal data typed by mistake.
                item.refuse(Reason.TOKEN_MALFORMED, Verdict.INVALID)
        rows = await self._rows.submit(wanted, call.trace) if wanted else {}
        for item in items:
            if item.result is not None:
                continue
            row = rows.get(item.wanted.token)
            if row is None or row.tenant != call.tenant:
                item.refuse(Reason.TOKEN_UNKNOWN)
                continue
            item.row = row
            item.note.subject_id = row.subject_id
            item.note.field_type = row.field_type

    def _decide(
        self,
        call: Call,
        purpose: str,
        item: _Item,
        row: TokenRow,
        decisions: dict[tuple[str, View], Decision],
    ) -> None:
        """`decisions`: of this call; caller, purpose and tenant are the same for all its items."""
        facts = (row.field_type, item.note.wanted)
        decision = decisions.get(facts)
        if decision is None:
            # There is no register of consents yet: none stands, so purposes that need one refuse.
            decision = decisions[facts] = call.bundle.decide_reveal(
                call.principal,
                purpose,
                row.field_type,
                item.note.wanted,
                tenant=row.tenant,
                consented=False,
            )
        item.decision = decision
        if decision.is_allowed:
            item.note.allow(decision)
        else:
            item.refuse(decision.reason)


def _reveal(
    item: _Item,
    row: TokenRow,
    key: SubjectKey | None,
    field_types: Mapping[str, FieldType],
    today: dt.date,
) -> None:
    if key is None:
        item.refuse(Reason.DATA_CORRUPT, Verdict.FAILED)
        return
    aad = field_aad(
        tenant=row.tenant,
        subject_id=row.subject_id,
        field_type=row.field_type,
        token=row.token,
    )
    try:
        value = key.open(row.envelope, aad).decode()
        view = item.note.view
        shown = field_types[row.field_type].render(value, view, today=today)
    except (DecryptError, UnicodeDecodeError):
        item.refuse(Reason.DATA_CORRUPT, Verdict.FAILED)
    except ViewUnavailableError:
        item.refuse(Reason.VIEW_UNAVAILABLE)
    else:
        item.result = Revealed(shown, view, row.field_type)


def _require_all(items: list[_Item]) -> None:
    for index, item in enumerate(items):
        if isinstance(item.result, Refusal):
            path = f"items[{index}]"
            raise VaultError(
                item.result.reason,
                f"{path}: not every item may be revealed, and the call wants all or nothing",
                violations=(Violation(path, item.result.reason.name),),
            )


def _result(item: _Item) -> RevealResult:
    if item.result is None:
        raise VaultError(Reason.INTERNAL, "an item was left without a verdict")
    return item.result
