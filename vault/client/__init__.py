"""The Python client: tokens for values, and values for tokens where policy allows.

An order's personal data, out of the shop and back for one purpose:

    from vault.client import Refused, Revealed, VaultClient

    with VaultClient.from_directory("state/certs/order", "127.0.0.1:7443") as vault:
        outcome = vault.tokenize(
            [("member-1001", {"person_name": "张伟", "phone": "13812345678"})]
        )
        tokens = outcome.subjects[0].tokens  # {"person_name": "…", "phone": "…"}

    with VaultClient.from_directory("state/certs/shipping", "127.0.0.1:7443") as vault:
        for item in vault.detokenize("delivery", tokens.values()).items:
            match item:
                case Revealed(value=value, view=view):
                    print(view.name, value)
                case Refused(reason=reason):
                    print("refused:", reason.name)

`AsyncVaultClient` has the same methods, awaited. Guarantees: mutual TLS or no
connection; a deadline on everything; retries only where they have no second
effect; no value, token or key in a repr, a log line or an error of this package.
What an error means and what to do about it: `docs/reasons.md`.
"""

from vault.client.aio import AsyncVaultClient
from vault.client.calls import Health
from vault.client.errors import (
    CredentialFilesError,
    InvalidRequestError,
    NotPermittedError,
    UnavailableError,
    VaultCallError,
)
from vault.client.key_results import (
    Act,
    ActRequest,
    ActState,
    CarriedOut,
    Control,
    Erased,
    Erasure,
    Job,
    JobState,
    KeyKind,
    KeyStatus,
    KeyVersion,
    Rotation,
    Verification,
)
from vault.client.log_results import (
    AccessCount,
    Checkpoint,
    ConsistencyProof,
    ExportHead,
    ExportLeaf,
    ExportLeaves,
    ExportPiece,
    ExportTile,
    InclusionProof,
    InclusionProofs,
)
from vault.client.requests import EntryFilters, Subject, Wanted
from vault.client.results import (
    Bundle,
    DetokenizeOutcome,
    Entry,
    EntryItem,
    Issued,
    Refused,
    Reloaded,
    Revealed,
    SubjectTokens,
    TokenizeOutcome,
)
from vault.client.retry import Retrying, RetryPolicy
from vault.client.sync import VaultClient
from vault.errors import Reason, Violation
from vault.model import Verdict, View

__all__ = [
    "AccessCount",
    "Act",
    "ActRequest",
    "ActState",
    "AsyncVaultClient",
    "Bundle",
    "CarriedOut",
    "Checkpoint",
    "ConsistencyProof",
    "Control",
    "CredentialFilesError",
    "DetokenizeOutcome",
    "Entry",
    "EntryFilters",
    "EntryItem",
    "Erased",
    "Erasure",
    "ExportHead",
    "ExportLeaf",
    "ExportLeaves",
    "ExportPiece",
    "ExportTile",
    "Health",
    "InclusionProof",
    "InclusionProofs",
    "InvalidRequestError",
    "Issued",
    "Job",
    "JobState",
    "KeyKind",
    "KeyStatus",
    "KeyVersion",
    "NotPermittedError",
    "Reason",
    "Refused",
    "Reloaded",
    "RetryPolicy",
    "Retrying",
    "Revealed",
    "Rotation",
    "Subject",
    "SubjectTokens",
    "TokenizeOutcome",
    "UnavailableError",
    "VaultCallError",
    "VaultClient",
    "Verdict",
    "Verification",
    "View",
    "Violation",
    "Wanted",
]
