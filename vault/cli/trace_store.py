"""Traces out of a trace store: Jaeger's `/api/v3/traces/ID` or Tempo's `/api/traces/ID`.

Guarantees: bounded in time and size; no proxy and no redirection is followed. What a store says
is no evidence; the entry is.
"""

import contextlib
import http.client
import ssl
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from vault.cli.output import USAGE, CommandError
from vault.telemetry.otlp_json import NoTraceError, read_otlp_json
from vault.telemetry.span_file import StoredSpan

MAX_ANSWER = 32 << 20
"""Bytes of one trace; a call of 1,000 items has some ten kilobytes of spans."""
MAX_LINKED = 32
"""Traces of shared round trips that are fetched beside; a call has about six."""
_PATHS = ("/api/v3/traces/", "/api/traces/")
_CHUNK = 1 << 16
_OK, _NOT_FOUND = 200, 404


class TraceStore:
    """One store, asked within one time limit.

    Args:
        address: `http(s)://HOST[:PORT][/PREFIX]`.
        ca_file: PEM of the CAs that its certificate may come from; None: those of the system.
        seconds: for everything that is asked.
    """

    def __init__(self, address: str, *, ca_file: Path | None, seconds: float) -> None:
        """Raises: CommandError: the address or the CA file can't be used."""
        self._url = _checked(address)
        self._deadline = time.monotonic() + seconds
        self._tls: ssl.SSLContext | None = None
        if self._url.scheme == "https":
            try:
                self._tls = ssl.create_default_context(cafile=ca_file)
            except (OSError, ssl.SSLError) as error:
                raise CommandError(f"{ca_file}: can't be used as CA file", code=USAGE) from error
        elif ca_file is not None:
            raise CommandError("a CA file is for an https:// trace store", code=USAGE)

    def spans(self, trace_id: str) -> list[StoredSpan]:
        """The spans of one trace, and the trips of other traces that its links lead to.

        Returns:
            By start; empty if the store does not have the trace.

        Raises:
            CommandError: the store can't be asked, or answers something else.
        """
        found = [span for span in self._trace(trace_id) if span.trace_id == trace_id]
        wanted = {link for span in found for link in span.links if link[0] != trace_id}
        for linked in sorted({trace for trace, _ in wanted})[:MAX_LINKED]:
            found += [
                span for span in self._trace(linked) if (span.trace_id, span.span_id) in wanted
            ]
        return sorted(found, key=lambda span: (span.start_ns, span.span_id))

    def _trace(self, trace_id: str) -> Sequence[StoredSpan]:
        strange: NoTraceError | None = None
        for path in _PATHS:
            status, data = self._get(f"{self._url.path.rstrip('/')}{path}{trace_id}")
            if status == _NOT_FOUND:
                continue
            if status != _OK:
                raise self._failed(f"answered {status} to {path}ID")
            try:
                return read_otlp_json(data)
            except NoTraceError as error:
                strange = error
        if strange is not None:
            raise self._failed(
                f"answered something else than a trace: {strange}",
                hint="it should be the query address of Jaeger (16686) or Tempo (3200)",
            ) from strange
        return ()

    def _get(self, path: str) -> tuple[int, bytes]:
        connection = self._connection()
        try:
            connection.request("GET", path, headers={"Accept": "application/json"})
            with contextlib.closing(connection.getresponse()) as answer:
                if answer.status != _OK:
                    return answer.status, b""
                data = bytearray()
                while chunk := answer.read1(_CHUNK):
                    data += chunk
                    if len(data) > MAX_ANSWER:
                        raise self._failed(f"answered more than {MAX_ANSWER >> 20} MiB")
                    self._left()
        except ssl.SSLCertVerificationError as error:
            raise self._failed(
                "has a certificate that is not trusted",
                hint="--trace-store-ca FILE names its CA",
            ) from error
        except (OSError, http.client.HTTPException) as error:
            reason = (
                "did not answer in time" if isinstance(error, TimeoutError) else "can't be asked"
            )
            detail = "" if isinstance(error, TimeoutError) else f": {type(error).__name__}"
            raise self._failed(reason + detail, hint="--timeout gives it more time") from error
        else:
            return answer.status, bytes(data)
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._tls is None:
            return http.client.HTTPConnection(host, port, timeout=self._left())
        return http.client.HTTPSConnection(host, port, timeout=self._left(), context=self._tls)

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise self._failed("did not answer in time", hint="--timeout gives it more time")
        return left

    def _failed(self, text: str, *, hint: str = "") -> CommandError:
        return CommandError(f"the trace store {self._url.netloc} {text}", hint=hint)


def _checked(address: str) -> SplitResult:
    try:
        url = urlsplit(address)
        is_good = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        is_good = False
    if not is_good or url.username or url.password or url.query or url.fragment:
        raise CommandError(
            "the trace store's address is not http(s)://HOST[:PORT][/PREFIX]",
            hint="for a store that asks for a password, run a proxy that adds it",
            code=USAGE,
        )
    return url
