"""A port that somebody else listens on is refused, even where sharing it would work."""

import socket
from collections.abc import Iterator

import pytest

from vault.port import require_free


@pytest.fixture(params=["127.0.0.1", "::1"])
def address(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[False, True], ids=["alone", "sharing"])
def taken(request: pytest.FixtureRequest, address: str) -> Iterator[int]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(request.param))
        listener.bind((address, 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_with_a_listener(address: str, taken: int) -> None:
    with pytest.raises(OSError, match=f"can't listen on {address}:{taken}"):
        require_free(address, taken)


def test_a_port_whose_listener_has_gone(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as gRPC's
        listener.bind((address, 0))
        listener.listen()
        port = listener.getsockname()[1]
        with socket.create_connection((address, port)):
            listener.accept()[0].close()
    require_free(address, port)


def test_an_address_that_is_not_ours() -> None:
    with pytest.raises(OSError, match=r"can't listen on 192\.0\.2\.1:443"):
        require_free("192.0.2.1", 443)
