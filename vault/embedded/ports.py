"""Free ports on the loopback interface."""

import socket

HOST = "127.0.0.1"


def free_port(preferred: int | None = None) -> int:
    """A port of 127.0.0.1 that is free now: `preferred` if that is.

    Another process may take it before the server does. Who uses it has to check that its
    own child got it, and try again.
    """
    if preferred is not None and _is_free(preferred):
        return preferred
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do: connections in TIME_WAIT don't count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
