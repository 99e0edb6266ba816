"""Decision tables: what must be decided, as YAML beside the policies; run against a bundle.

One file is one table. `docs/policy.md` shows how they are written. A cell that holds a list
stands for one case per entry, so a row can say "none of these roles".
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vault.errors import Reason
from vault.model import Authentication, Decision, Principal, TenantId, View
from vault.policy import files
from vault.policy.bundle import Act, Bundle
from vault.policy.callers import CallerEntry
from vault.policy.document import Path as At
from vault.policy.document import read_document
from vault.policy.faults import Faults, quoted
from vault.policy.purposes import VIEW_NAMES
from vault.policy.reader import NAME, SENTENCE, TENANT, Reader

MAX_CASES = 100_000
"""Of one table; keeps lists in many cells from multiplying without end."""

_ALLOW = "allow"
_MOST = "most"
_WANTED = {**VIEW_NAMES, _MOST: View.UNSPECIFIED}
_ACTS = {act.value: act for act in Act}
_REASONS = {
    reason.name for reason in Reason if Reason.POLICY_DENIED <= reason <= Reason.POLICY_ERROR
} | {Reason.FIELD_TYPE_UNKNOWN.name}
_KEYS = ("role", "caller", "person", "tenant", "purpose", "act", "field_type", "want", "consented")
_TABLE_CALLER = "spiffe://table.invalid/{tenant}/{role}"
_TABLE_PERSON = "person:https://table.invalid#{tenant}.{role}"


@dataclass(frozen=True, slots=True)
class Case:
    """One question and the answer that is due.

    Attributes:
        file, line: of its row.
        caller: an id of the bundle, or of a stand-in with just one role.
        stand_in: that stand-in, if it is one.
        tenant: whose value it is.
        purpose: for a reveal; empty for an act.
        expected: a view, `allow` or the name of a Reason.
        policies: the deciding policies; None when the row does not say.
    """

    file: str
    line: int
    caller: str
    stand_in: CallerEntry | None
    tenant: TenantId
    purpose: str
    act: Act | None
    field_type: str | None
    wanted: View
    consented: bool
    expected: str
    policies: tuple[str, ...] | None

    def __str__(self) -> str:
        wanted = self.wanted.name.lower() if self.wanted else _MOST
        what = self.act.value if self.act else f"{self.purpose}, {wanted}"
        return f"{self.caller}: {what} of {self.field_type or 'the tenant'} ({self.tenant})"


@dataclass(frozen=True, slots=True)
class CaseFailure:
    """A case that was decided otherwise."""

    case: Case
    got: str
    policies: tuple[str, ...]

    def __str__(self) -> str:
        case, decided = self.case, ", ".join(self.policies) or "no policy"
        wanted = f" by {', '.join(case.policies) or 'no policy'}" if case.policies else ""
        return (
            f"{case.file}:{case.line}: {case}: "
            f"expected {case.expected}{wanted}, got {self.got} by {decided}"
        )


@dataclass(frozen=True, slots=True)
class TableReport:
    """What became of all tables of a folder."""

    tables: int
    cases: int
    failures: tuple[CaseFailure, ...]


def run_tables(bundle: Bundle, directory: Path) -> TableReport:
    """Runs every table in the `tests` folder of a bundle's folder.

    Raises:
        BundleError: a table is not well formed.
    """
    faults = Faults()
    contents = files.read_tables(directory, faults)
    cases = [case for name in sorted(contents) for case in _read(name, contents[name], faults)]
    for case in cases:
        entry = case.stand_in
        if entry and not (set(entry.roles) <= set(bundle.roles) and entry.tenant in bundle.tenants):
            faults.add(case.file, case.line, f"no role {entry.roles[0]} or tenant {entry.tenant}")
    faults.check()
    stand_ins = {case.caller: case.stand_in for case in cases if case.stand_in}
    asked = bundle.with_callers(stand_ins.values())
    failures = [failure for case in cases if (failure := _run(asked, case))]
    return TableReport(len(contents), len(cases), tuple(failures))


def _run(bundle: Bundle, case: Case) -> CaseFailure | None:
    entry = bundle.caller(case.caller)
    if entry is None:
        return CaseFailure(case, "no such caller", ())
    proof = Authentication.JWT if entry.is_person else Authentication.MTLS
    principal = Principal(entry.id, proof, entry.tenant, entry.roles)
    if case.act:
        decision = bundle.decide_act(principal, case.act, field_type=case.field_type)
    else:
        decision = bundle.decide_reveal(
            principal,
            case.purpose,
            case.field_type or "",
            case.wanted,
            tenant=case.tenant,
            consented=case.consented,
        )
    got = _word(decision)
    if got == case.expected and case.policies in (None, decision.policies):
        return None
    return CaseFailure(case, got, decision.policies)


def _word(decision: Decision) -> str:
    if not decision.is_allowed:
        return decision.reason.name
    return _ALLOW if decision.view is View.UNSPECIFIED else decision.view.name.lower()


def _read(file: str, content: bytes, faults: Faults) -> Iterator[Case]:
    document = read_document(file, content, faults)
    if document is None:
        return
    reader = _TableReader(document, faults)
    reader.keys((), ("table", "tenant", "rows"))
    reader.text(("table",), SENTENCE, "sentence")
    tenant = reader.text(("tenant",), TENANT, "tenant name")
    count = 0
    for row in reader.rows():
        for case in reader.cases(row, file, document.line(row), tenant):
            count += 1
            if count > MAX_CASES:
                reader.fault(row, f"more than {MAX_CASES} cases")
                return
            yield case


class _TableReader(Reader):
    """Reads rows and multiplies their lists out."""

    def rows(self) -> list[At]:
        count = self.length(("rows",))
        if not count:
            self.fault(("rows",), "must be a list of rows, at least one")
        return [("rows", i) for i in range(count)]

    def cases(self, row: At, file: str, line: int, home: str) -> Iterator[Case]:
        self.keys(row, ("expect",), (*_KEYS, "policies"))
        expected = self.text((*row, "expect"), _words(_ALLOW, *VIEW_NAMES, *_REASONS), "answer")
        policies = None
        if self.has((*row, "policies")):
            policies = self.texts((*row, "policies"), re.compile(r"[a-z0-9-]+"), "policy @id")
        if self.has((*row, "role")) == self.has((*row, "caller")):
            self.fault(row, "a row has either role or caller")
        if self.has((*row, "person")) and not self.has((*row, "role")):
            self.fault(row, "person goes with role; a caller is what its id says")
        if self.has((*row, "purpose")) == self.has((*row, "act")):
            self.fault(row, "a row has either purpose or act")
        is_person, consented = self.flag((*row, "person")), self.flag((*row, "consented"))
        tenant = self.text((*row, "tenant"), TENANT, "tenant name") or home
        cells = [
            self._cell((*row, "role"), NAME.pattern),
            self._cell((*row, "caller"), SENTENCE.pattern),
            self._cell((*row, "purpose"), SENTENCE.pattern),
            self._cell((*row, "act"), "|".join(_ACTS)),
            self._cell((*row, "field_type"), SENTENCE.pattern),
            self._cell((*row, "want"), "|".join(_WANTED)),
        ]
        for role, caller, purpose, act, field_type, want in itertools.product(*cells):
            stand_in = _stand_in(role, home, is_person=is_person) if role else None
            yield Case(
                file=file,
                line=line,
                caller=stand_in.id if stand_in else caller,
                stand_in=stand_in,
                tenant=TenantId(tenant),
                purpose=purpose,
                act=_ACTS.get(act),
                field_type=field_type or None,
                wanted=_WANTED[want or _MOST],
                consented=consented,
                expected=expected,
                policies=policies,
            )

    def _cell(self, path: At, pattern: str) -> tuple[str, ...]:
        """One entry, or a list of several; an absent cell is one empty entry."""
        what = f"text like {quoted(pattern)}, or a list of such"
        if self.length(path):
            return self.texts(path, re.compile(pattern), what) or ("",)
        return (self.text(path, re.compile(pattern), what),)


def _words(*words: str) -> re.Pattern[str]:
    return re.compile("|".join(words))


def _stand_in(role: str, tenant: str, *, is_person: bool) -> CallerEntry:
    name = (_TABLE_PERSON if is_person else _TABLE_CALLER).format(tenant=tenant, role=role)
    return CallerEntry(name, TenantId(tenant), (role,), may_carry_people=False)
