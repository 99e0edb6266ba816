"""Who listens on a port, read from /proc (Linux): a stranger's server must never get our calls."""

from pathlib import Path

from vault.rpc.server import LISTENERS

_LISTENS = "0A"  # TCP_LISTEN, in the fourth column of proc_net_tcp(5)


def holds_port(pid: int, port: int) -> bool:
    """Whether a listening socket on the port belongs to the process or to a child of it."""
    sockets = _listening(port)
    hidden = False
    for each in (pid, *children(pid)):
        try:
            descriptors = list(Path(f"/proc/{each}/fd").iterdir())
        except PermissionError:
            hidden = True  # the service hides from other processes of its user
        except OSError:
            continue
        else:
            if any(_target(descriptor) in sockets for descriptor in descriptors):
                return True
    # It told us the port itself; with so many sockets (for each worker) it shares it with nobody.
    return hidden and bool(sockets) and not len(sockets) % LISTENERS


def children(pid: int) -> list[int]:
    """The processes that any thread of this one started."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, task.read_text().split())
        except OSError:
            continue
    return found


def _listening(port: int) -> set[str]:
    sockets = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            parts = line.split()
            if parts[3] == _LISTENS and int(parts[1].rpartition(":")[2], 16) == port:
                sockets.add(f"socket:[{parts[9]}]")
    return sockets


def _target(descriptor: Path) -> str:
    """What a descriptor stands for; nothing if it was closed since it was listed."""
    try:
        return str(descriptor.readlink())
    except OSError:
        return ""
