"""What a refusal by Transit means: the one table from HTTP status to reason.

Guarantees: no word of the server's answer gets into an error. Leaves to `transit_batch`:
errors of single items.
"""

from vault.errors import Reason, VaultError

OK = 200
NO_CONTENT = 204
BAD_REQUEST = 400
FORBIDDEN = 403
NOT_FOUND = 404
_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500
_SEALED = 503

_TEXTS = {
    Reason.KEY_STORE_SEALED: "the key store is sealed",
    Reason.KEY_STORE_UNAVAILABLE: "the key store cannot be reached",
    Reason.KEY_STORE_DENIED: "the key store refuses this service",
    Reason.KEY_STORE_FAULT: "the key store gave a wrong answer",
}
_PASSING = frozenset({Reason.KEY_STORE_SEALED, Reason.KEY_STORE_UNAVAILABLE})


def key_store_error(reason: Reason) -> VaultError:
    """The error for one of the KEY_STORE reasons."""
    return VaultError(reason, _TEXTS[reason], retry_after_ms=1000 if reason in _PASSING else None)


def failure(status: int, document: dict[str, object]) -> VaultError:
    """The error for a request that was refused as a whole."""
    if status == _SEALED and "sealed" in str(document.get("errors")):
        return key_store_error(Reason.KEY_STORE_SEALED)
    if status == _TOO_MANY_REQUESTS or status >= _SERVER_ERROR:
        return key_store_error(Reason.KEY_STORE_UNAVAILABLE)
    if status == FORBIDDEN:
        return key_store_error(Reason.KEY_STORE_DENIED)
    return key_store_error(Reason.KEY_STORE_FAULT)
