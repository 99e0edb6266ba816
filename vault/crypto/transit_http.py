"""HTTP to Transit: the only door to hvac.

Guarantees: neither proxies nor .netrc nor another CA bundle from the environment; no redirect is
followed; nothing that the network says reaches an error's text. Synchronous: leaves threads and
time limits of whole calls to `transit_client`.
"""

from collections.abc import Callable

import requests
from hvac.adapters import RawAdapter

from vault.crypto.transit_errors import key_store_error
from vault.crypto.transit_settings import TransitSettings
from vault.errors import Reason


class Http:
    """hvac's adapter over one pool of connections."""

    def __init__(self, settings: TransitSettings, traceparent: Callable[[], str | None]) -> None:
        self._traceparent = traceparent
        pool = requests.adapters.HTTPAdapter(pool_maxsize=settings.threads + 1)
        http = requests.Session()
        http.trust_env = False  # neither proxies nor .netrc nor another CA bundle
        http.verify = str(settings.ca_file) if settings.ca_file else True
        http.mount("https://", pool)
        http.mount("http://", pool)
        self._adapter = RawAdapter(
            base_uri=settings.address,
            session=http,
            timeout=(settings.connect_seconds, settings.read_seconds),
            namespace=settings.namespace,
            allow_redirects=False,  # a redirect would carry token and keys elsewhere
        )

    def close(self) -> None:
        self._adapter.close()

    def send(
        self,
        method: str,
        path: str,
        body: dict[str, object] | None,
        token: str | None,
        *,
        attempts: int = 2,
    ) -> tuple[int, dict[str, object]]:
        """Status and JSON document of one request; a dropped connection is tried once more."""
        headers = {"X-Vault-Token": token} if token else {}
        if (traceparent := self._traceparent()) is not None:
            headers["traceparent"] = traceparent
        for _ in range(attempts):
            try:
                response: requests.Response = self._adapter.request(
                    method, f"/v1/{path}", headers=dict(headers), json=body, raise_exception=False
                )
                document = response.json() if response.content else {}
            except requests.exceptions.JSONDecodeError:
                return response.status_code, {}
            except requests.exceptions.Timeout:
                break
            except requests.exceptions.RequestException:
                continue
            return response.status_code, document if isinstance(document, dict) else {}
        # Outside the handler, without a cause: a requests error carries the request, and
        # with it token and keys.
        raise key_store_error(Reason.KEY_STORE_UNAVAILABLE)
