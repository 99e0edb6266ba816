"""Who may not be somebody else as well: roles that exclude each other.

Guarantees: no caller of a bundle keeps keys and reads the log, or tends the rules, or runs the
machine; no keeper serves a purpose or erases. So no single caller can both let something happen and
hide or profit from it. That one human holds two identities can't be seen from here.
"""

from collections.abc import Callable

from vault.model import Authentication, Decision, Principal
from vault.policy import files
from vault.policy.bundle import Act
from vault.policy.callers import CallerEntry
from vault.policy.document import Document
from vault.policy.faults import Faults
from vault.policy.rules import Rules

KEEPERS = ("auditor", "custodian", "operator", "policy_owner")
"""No caller has two of these, nor one of these beside a role that serves a purpose."""


def check_exclusion(rules: Rules, callers: Document, purposes: Document, faults: Faults) -> None:
    """Finds callers whose roles exclude each other, and purposes that keepers serve."""
    serving = {role for purpose in rules.purposes.values() for role in purpose.roles}
    for purpose in rules.purposes.values():
        for role in sorted(set(purpose.roles) & set(KEEPERS)):
            line = purposes.line(("purposes", purpose.name, "roles"))
            faults.add(files.PURPOSES, line, f"{role} is a keeper's role: it serves no purpose")
    for caller, entry in rules.directory.callers.items():
        kept = [role for role in KEEPERS if role in entry.roles]
        served = sorted((set(entry.roles) & serving) - set(KEEPERS))
        line = callers.line(("callers", caller, "roles"))
        if len(kept) > 1:
            faults.add(files.CALLERS, line, f"{' and '.join(kept)} exclude each other")
        if kept and served:
            text = f"{kept[0]} excludes {served[0]}, which serves a purpose"
            faults.add(files.CALLERS, line, text)


Decide = Callable[[Principal, Act], Decision]


def check_erasers(rules: Rules, callers: Document, may: Decide, faults: Faults) -> None:
    """Finds keepers who may erase, whatever their roles are called."""
    for caller, entry in rules.directory.callers.items():
        kept = [role for role in KEEPERS if role in entry.roles]
        if kept and may(principal_of(entry), Act.ERASE_SUBJECT).is_allowed:
            line = callers.line(("callers", caller, "roles"))
            faults.add(files.CALLERS, line, f"{kept[0]} excludes a role that erases")


def principal_of(entry: CallerEntry) -> Principal:
    """The caller as it would come, with the proof that its kind of identity has."""
    proof = Authentication.JWT if entry.is_person else Authentication.MTLS
    return Principal(entry.id, proof, entry.tenant, entry.roles)
