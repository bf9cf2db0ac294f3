"""Who a run is, and whether it still lives.

Contract: a process number says nothing by itself: machines start again, containers have the same numbers every time,
numbers are used again. A run is its machine, the start of that machine (boot id), its namespace of process numbers,
its number and when that process was started, and a token by chance. Of a run whose machine, start and namespace are
ours the system tells whether it lives. A container that was started again is the same container in another namespace.
Of any other run nobody can tell: `lives` gives None, and only the time since its last sign of life decides.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
import uuid
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

__all__ = ["Holder"]

_SHOWN = 80
_CONTAINER = re.compile(r" (/\S*/containers/\S+)/hostname /etc/hostname ")


@dataclass(frozen=True, slots=True)
class Holder:
    """A run that holds a lock.

    Attributes
    ----------
    run
        What tells it apart from all others.
    started
        When the process was started, in ticks since its machine was; None where the system does not tell.
    boot, namespace, container
        What tells starts of machines, namespaces of process numbers, and containers apart; "" where unknown.
    began
        When it took the lock, in seconds since the epoch.
    """

    run: str = ""
    host: str = "unknown"
    pid: int | None = None
    started: int | None = None
    boot: str = ""
    namespace: str = ""
    container: str = field(default="", repr=False)
    began: float | None = None

    @classmethod
    def own(cls) -> Holder:
        """Return this process, with a new token."""
        pid = os.getpid()
        boot, namespace, container = _surroundings()
        started = _started(pid)
        return cls(uuid.uuid4().hex, socket.gethostname(), pid, started, boot, namespace, container, time.time())

    @classmethod
    def of(cls, content: bytes) -> Holder | None:
        """Return who a lock says holds it; None where it says nothing, or nothing that can be read."""
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            return None
        if not isinstance(found, dict) or not found:
            return None
        run, host, boot, namespace = (
            str(found.get(name, ""))[:_SHOWN] for name in ("run", "host", "boot", "namespace")
        )
        began = found.get("began")
        return cls(
            run,
            host or "unknown",
            _whole(found.get("pid")),
            _whole(found.get("started")),
            boot,
            namespace,
            str(found.get("container", "")),
            began if isinstance(began, int | float) else None,
        )

    def encoded(self) -> bytes:
        """Return what a lock says, for `of`."""
        return json.dumps(asdict(self)).encode("ascii")

    def lives(self) -> bool | None:
        """Return whether the run still lives, as far as this machine knows."""
        boot, namespace, container = _surroundings()
        if self.host != socket.gethostname() or self.pid is None or self.boot not in ("", boot):
            return None
        if self.namespace not in ("", namespace):
            return False if container and container == self.container else None
        if not _exists(self.pid):
            return False
        if self.started is None:
            return None
        return self.started == _started(self.pid)

    def __str__(self) -> str:
        since = "unknown"
        if self.began is not None:
            try:
                since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.began))
            except (ValueError, OverflowError, OSError):  # a file may hold any number
                since = "unknown"
        return f"process {'unknown' if self.pid is None else self.pid} on {self.host}, since {since}"


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63 else None


@cache
def _surroundings() -> tuple[str, str, str]:
    """Return what tells the start of this machine, its namespace of process numbers, and this container."""
    boot = _text("/proc/sys/kernel/random/boot_id").strip()
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    # Engines of containers mount this file from a folder of the container, which outlives its processes.
    found = _CONTAINER.search(_text("/proc/self/mountinfo"))
    return boot, namespace, found[1] if found else ""


def _exists(pid: int) -> bool:
    """Return whether there may be a process of this number; one that ended and was not waited for is none."""
    if _text("/proc/self/stat"):
        status = _status(pid)
        return bool(status) and status[0] not in ("Z", "X")
    if os.name != "posix":  # there, signal 0 ends processes
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _started(pid: int) -> int | None:
    """Return when a process was started, in ticks since its machine was (field 22 of proc(5)'s stat)."""
    status = _status(pid)
    return int(status[19]) if len(status) > 19 else None


def _status(pid: int) -> list[str]:
    """Return the fields of a process behind its name, which may hold anything."""
    return _text(f"/proc/{pid}/stat").rpartition(")")[2].split()


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except (OSError, ValueError):
        return ""
