"""What a person is told about each exception that a command can end with.

The hint names the mend where there is one. An exception that nobody foresaw is its class and
place: its message might hold a value.
"""

from vault.app.checks import UnsafeError
from vault.backup.stream import BackupError
from vault.cli.output import CommandError
from vault.client import CredentialFilesError, UnavailableError, VaultCallError
from vault.config import ConfigError
from vault.config_files import FileError
from vault.embedded.state import EmbeddedError
from vault.errors import Reason, VaultError, Violation
from vault.policy.faults import BundleError
from vault.telemetry.logs import describe_exception

_HINTS = {
    Reason.SERVICE_NOT_PERMITTED: "this certificate is not for that; choose another --client",
    Reason.POLICY_DENIED: "this caller has not the role for it; choose another --client",
    Reason.CALLER_UNKNOWN: "the policy bundle (callers.yaml) does not know this certificate",
    Reason.PURPOSE_UNKNOWN: "purposes.yaml of the policy bundle lists the purposes",
    Reason.KEY_STORE_SEALED: "a key custodian has to unseal the key store",
    Reason.KEY_STORE_UNAVAILABLE: "check that Transit runs, and section [transit]",
    Reason.KEY_STORE_DENIED: "check the credentials and policy of section [transit]",
    Reason.DATABASE_UNAVAILABLE: "check that PostgreSQL runs, and the URL in its file",
    Reason.CUSTODY_UNAVAILABLE: "ask the process that has a [custody] section",
    Reason.APPROVAL_MISSING: "another custodian approves: pdvault keys requests --open",
    Reason.APPROVAL_BY_REQUESTER: "another custodian has to approve",
    Reason.APPROVAL_MISMATCH: "read it again: pdvault keys requests",
    Reason.KEY_IN_USE: "pdvault keys status and keys verify tell by what",
    Reason.LEDGER_NOT_REPLAYED: "pdvault erasures replay, then start again",
    Reason.BUNDLE_INVALID: "mend these lines; the old bundle keeps deciding",
}


def describe(error: Exception) -> CommandError:
    """The message, hint and exit code for `error`."""
    match error:
        case BundleError():
            count = len(error.faults)
            return CommandError(
                f"the policy bundle is refused: {count} fault{'s' * (count != 1)}",
                details=_lines(error.faults),
            )
        case ConfigError():
            first, *rest = str(error).splitlines()
            return CommandError(
                first.rstrip(":"),
                details=[line.strip() for line in rest],
                hint="docs/configuration.md explains each setting",
            )
        case UnsafeError():
            return CommandError("refused to start: the database is unsafe", details=error.faults)
        case BackupError():
            return CommandError(str(error), hint="nothing was restored")
        case EmbeddedError():
            in_use = "is in use by" in str(error)
            hint = "stop that process, or choose another folder with --state" if in_use else ""
            return CommandError(str(error), hint=hint)
        case CredentialFilesError():
            return CommandError(str(error), hint="--client DIR holds tls.crt, tls.key and ca.crt")
        case VaultCallError():
            return _call(error)
        case VaultError():
            return CommandError(
                f"{error.reason.name}: {error.text}",
                details=_lines(error.violations),
                hint=_HINTS.get(error.reason, ""),
            )
        case FileError():
            return CommandError(str(error))
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            return CommandError(where + (error.strerror or str(error)))
        case _:
            what = describe_exception(error)[0]
            place = next(iter(what["frames"]), "nowhere")
            return CommandError(
                f"unexpected {what['class']} at {place}",
                hint="this is a fault of pdvault; please report it with this line",
            )


def _call(error: VaultCallError) -> CommandError:
    hint = _HINTS.get(error.reason, "")
    if not hint and isinstance(error, UnavailableError) and error.reason is Reason.NONE:
        hint = "does the vault run at --address, and is --client a certificate that it trusts?"
    label = error.status.name if error.reason is Reason.NONE else error.reason.name
    call = f" (call {error.call_id})" if error.call_id else ""
    return CommandError(f"{label}: {error.text}{call}", details=_lines(error.violations), hint=hint)


def _lines(violations: tuple[Violation, ...]) -> list[str]:
    return [f"{each.field}: {each.text}" for each in violations]
