"""Confine this process, for good, before it decodes content of strangers.

Limits of memory, processor time, written bytes and processes; no new privileges; a user and network namespace without
interfaces; Landlock without any rule: no file, no TCP connection, no signal to other processes. The last two depend on
the kernel and on the container; `dropbox-api doctor` shows which ones work.
Sources: setrlimit(2), unshare(2), landlock(7).
"""

import ctypes
import os
import resource
from dataclasses import dataclass

_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_LANDLOCK_CREATE_RULESET, _LANDLOCK_RESTRICT_SELF = 444, 446
"""Numbers of the system calls, the same on every architecture."""
_LANDLOCK_VERSION = 1
_FS_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""Version of Landlock's ABI -> number of its rights on files; later versions have 16."""
_TCP_RIGHTS, _SCOPES = 0b11, 0b11
_NICENESS = 10


@dataclass(frozen=True, slots=True)
class Confinement:
    """Which confinements of the kernel hold, besides the limits."""

    has_namespaces: bool
    landlock_version: int
    """0: this kernel has no Landlock, or it is switched off."""

    @property
    def is_confined(self) -> bool:
        """Whether the process can reach no network, by one of the two."""
        return self.has_namespaces or self.landlock_version >= 4

    def __str__(self) -> str:
        return (
            f"namespaces {'yes' if self.has_namespaces else 'no'}, Landlock {self.landlock_version or 'no'},"
            " limits of memory and time"
        )


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("tcp", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


def confine(memory_bytes: int, cpu_s: int) -> Confinement:
    """Confine this process. It must have imported all its modules: it opens no file afterwards.

    Raises OSError where the limits cannot be set.
    """
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))  # SIGXCPU, which tells the parent the reason
    for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC, resource.RLIMIT_CORE):
        resource.setrlimit(limit, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    return Confinement(libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0, _apply_landlock(libc))


def _apply_landlock(libc: ctypes.CDLL) -> int:
    """Deny all that this kernel's Landlock handles; return the version of its ABI, 0 without Landlock."""
    version: int = libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), _LANDLOCK_VERSION)
    if version < 1:
        return 0
    ruleset = _Ruleset((1 << _FS_RIGHTS.get(version, 16)) - 1, _TCP_RIGHTS, _SCOPES)
    size_bytes = 8 if version < 4 else 16 if version < 6 else 24
    denied = libc.syscall(_LANDLOCK_CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(size_bytes), 0)
    if denied < 0 or libc.syscall(_LANDLOCK_RESTRICT_SELF, denied, 0):
        return 0
    os.close(denied)
    return version
