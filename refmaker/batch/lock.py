"""One run at a time on an output directory.

Contract: the lock is a file beside the ledger with who holds it. On this machine the system tells whether that process
lives (flock, which ends with the process, however it ends). A holder on another machine is taken for alive while it
touches the file, which it does every few seconds; both times are those of the filesystem. Whoever finds the lock held
is told by whom.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
from types import TracebackType
from typing import Any

from refmaker.errors import BatchError

__all__ = ["Lock"]

BEAT = 10.0
DEAD_AFTER = 90.0
"""Seconds between signs of life, and without one after which a holder on another machine is taken for dead."""


class Lock:
    """The lock of an output directory, held while the context is open.

    Parameters
    ----------
    path
        Of the lock file.
    what
        What is locked, as the user named it.

    Raises
    ------
    BatchError
        On entering: another run holds it.
    """

    def __init__(self, path: str, what: str) -> None:
        self.path = path
        self.what = what
        self.taken_over: str | None = None
        self._descriptor = -1
        self._ended = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="refmaker-lock", daemon=True)

    def __enter__(self) -> Lock:
        try:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            raise BatchError(f"cannot create the lock: {error.strerror}", source=self.path) from error
        try:
            self._take()
        except OSError as error:
            os.close(self._descriptor)
            raise BatchError(f"cannot write the lock: {error.strerror}", source=self.path) from error
        except BaseException:
            os.close(self._descriptor)
            raise
        self._beating.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._beating.join()
        # The file stays: were it removed, a run that has just opened it would hold a lock that nobody else sees.
        # Where that cannot be said any more, the process that holds it is one that does not live.
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)

    def _take(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise self._held(self._holder()) from error
        except OSError as error:
            raise BatchError(
                f"no file locks on this filesystem ({error.strerror}): name a ledger on another with --ledger",
                source=self.path,
            ) from error
        before = self._holder()
        if before and before.get("host") != socket.gethostname() and self._silence() < DEAD_AFTER:
            raise self._held(before)
        self.taken_over = _described(before) if before else None
        text = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "began": time.time()})
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode("ascii"), 0)

    def _holder(self) -> dict[str, Any]:
        with contextlib.suppress(ValueError, OSError, RecursionError):
            found = json.loads(os.pread(self._descriptor, 4096, 0))
            if isinstance(found, dict):
                return found
        return {}

    def _silence(self) -> float:
        """Return the seconds since the last sign of life, by the filesystem's clock."""
        before = os.fstat(self._descriptor).st_mtime
        probe = f"{self.path}.{os.getpid()}"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(probe)
        made = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        now = os.fstat(made).st_mtime
        os.close(made)
        os.unlink(probe)
        return now - before

    def _held(self, holder: dict[str, Any]) -> BatchError:
        return BatchError(
            f"another run is using this ledger: {_described(holder)}; wait until it ends", source=self.what
        )

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            with contextlib.suppress(OSError):  # a sign of life that does not get through is one less of several
                os.utime(self._descriptor)


def _described(holder: dict[str, Any]) -> str:
    since, began = "unknown", holder.get("began")
    if isinstance(began, int | float):
        with contextlib.suppress(ValueError, OverflowError, OSError):  # a file may hold any number
            since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(began))
    pid, host = (str(holder.get(name, "unknown"))[:80] for name in ("pid", "host"))
    return f"process {pid} on {host}, since {since}"
