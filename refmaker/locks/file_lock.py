"""A lock that is a file, by the locks of the system (flock).

Contract: the file says who holds it. On this machine the system tells whether that process lives: its lock ends with
it, however it ends. A holder on another machine, whose locks may not be seen here, is taken for alive while it touches
the file, which it does every few seconds; both times are those of the filesystem. Whoever finds the lock held is told
by whom. A holder whose file was taken away, or taken over, finds that out before it writes (`check`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
import time
from types import TracebackType

from refmaker.errors import BatchError, OutputError, RefmakerError
from refmaker.locks.holder import Holder

__all__ = ["Lock", "NoFileLocksError"]

BEAT = 10.0
DEAD_AFTER = 90.0
"""Seconds between signs of life, and without one after which a holder on another machine is taken for dead."""
_PAUSE = 0.1
_MOST = 4096


class NoFileLocksError(BatchError):
    """The filesystem, or the system, has no locks."""


class Lock:
    """A lock, held while the context is open.

    Parameters
    ----------
    path
        Of the lock file.
    what
        What is locked, as the user named it.
    wait
        Seconds to wait while another run holds it.
    keep
        Leave the file, empty, where it is.
    doing, kind
        What the other run is doing, for the error; and of which kind that is.

    Raises
    ------
    RefmakerError
        On entering: another run holds it; or it cannot be made.
    """

    def __init__(
        self,
        path: str,
        what: str,
        *,
        wait: float = 0.0,
        keep: bool = True,
        doing: str = "using this ledger",
        kind: type[RefmakerError] = BatchError,
    ) -> None:
        self.path = path
        self.what = what
        self.wait = wait
        self.keep = keep
        self.doing = doing
        self.kind = kind
        self.me = Holder.own()
        self.taken_over: str | None = None
        self._descriptor = -1
        self._ended = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="refmaker-lock", daemon=True)

    def __enter__(self) -> Lock:
        until = time.monotonic() + self.wait
        while not self._attempt(last=time.monotonic() >= until):
            time.sleep(_PAUSE)
        self._beating.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._beating.join()
        # Where that cannot be said any more, the process that holds it is one that does not live.
        with contextlib.suppress(OSError):
            if self._is_mine():
                self._let_go()
        os.close(self._descriptor)

    def check(self) -> None:
        """Make sure that the lock is still held. Raises `OutputError`."""
        if not self._is_mine():
            raise OutputError(
                f"lost the lock {self.path!r}, which another program removed or took over: nothing was written; "
                "run again",
                source=self.what,
            )

    def _attempt(self, *, last: bool) -> bool:
        """Take the lock; return False where somebody holds it, which is an error at last."""
        try:
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
            self._descriptor = os.open(self.path, flags, 0o666)
        except OSError as error:
            raise self.kind(f"cannot create the lock: {error.strerror}", source=self.path) from error
        try:
            if self._take(last=last):
                return True
        except OSError as error:
            os.close(self._descriptor)
            raise self.kind(f"cannot write the lock: {error.strerror}", source=self.path) from error
        except BaseException:
            os.close(self._descriptor)
            raise
        os.close(self._descriptor)
        return False

    def _take(self, *, last: bool) -> bool:
        held = self._flock()
        before = self._holder()
        # One of another machine lives as long as it gives signs of life; its flock may not be seen here.
        if not held and before is not None and before.host != socket.gethostname():
            held = self._silence() < DEAD_AFTER
        if held:
            if last:
                raise self._held(before or Holder())
            return False
        if not self._is_there():  # who held it has removed it in between
            return False
        self.taken_over = None if before is None else str(before)
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        content = self.me.encoded()
        try:
            if os.write(self._descriptor, content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            self._let_go()
            raise
        return True

    def _let_go(self) -> None:
        """Have the file say that nobody holds the lock."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            if not self.keep:
                os.unlink(self.path)

    def _flock(self) -> bool:
        """Lock the file; return whether another process has."""
        try:
            import fcntl
        except ImportError as error:
            raise NoFileLocksError("no file locks on this system", source=self.path) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError as error:
            raise NoFileLocksError(
                f"no file locks on this filesystem ({error.strerror}): name a ledger on another with --ledger",
                source=self.path,
            ) from error
        return False

    def _holder(self) -> Holder | None:
        try:
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            return Holder.of(os.read(self._descriptor, _MOST))
        except OSError:
            return None

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.lstat(self.path))
        except FileNotFoundError:
            return False

    def _is_mine(self) -> bool:
        found = self._holder()
        return self._is_there() and found is not None and found.run == self.me.run

    def _silence(self) -> float:
        """Return the seconds since the last sign of life, by the filesystem's clock."""
        before = os.fstat(self._descriptor).st_mtime
        probe = f"{self.path}.{os.getpid()}"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(probe)
        made = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666)
        now = os.fstat(made).st_mtime
        os.close(made)
        os.unlink(probe)
        return now - before

    def _held(self, holder: Holder) -> RefmakerError:
        return self.kind(f"another run is {self.doing}: {holder}; wait until it ends", source=self.what)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            with contextlib.suppress(OSError):  # a sign of life that does not get through is one less of several
                os.utime(self._descriptor if os.utime in os.supports_fd else self.path)
