"""A port that several listeners of ours share: nobody else may have it when we begin."""

import socket


def require_free(address: str, port: int) -> None:
    """Makes sure that nobody listens there. Whoever binds with SO_REUSEPORT would not notice.

    Raises:
        OSError: the port is taken, or the address can't be used.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise OSError(f"can't listen on {address}:{port}") from error
