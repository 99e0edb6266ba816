"""Becomes a server that ends when its parent does. Run as a script, never imported.

    python -I -S launcher.py PARENT_PID DEATH_SIGNAL UID GID PROGRAM ARGUMENT...

UID and GID of -1 mean: stay who you are. The working directory is set by the
parent before the privileges go, so it may lie in a folder that the new user can't
reach by name. Being a program of its own, it needs no code between fork and exec.
"""

import ctypes
import os
import resource
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h

if __name__ == "__main__":
    parent, death_signal, uid, gid = map(int, sys.argv[1:5])
    # A core dump would hold key material and values.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        # After setuid, which clears it.
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the parent has ended")
    os.execv(sys.argv[5], sys.argv[5:])  # noqa: S606  the point of this file
