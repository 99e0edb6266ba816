"""The private PostgreSQL, OpenBao and PKI that `pdvault up`, the demo and the tests run on.

Real servers from wheels, in one state folder that survives restarts. Production
uses none of this package: it brings its own servers and certificates.
"""

from vault.embedded.instance import EmbeddedInstance
from vault.embedded.state import EmbeddedError

__all__ = ["EmbeddedError", "EmbeddedInstance"]
