"""A lock that is an object in a store, or a file where the system has no locks.

Contract: the object says who holds it (`Holder`); another beside it is written now and then as a sign of life, so that
no sign of life can take the place of somebody else's lock. The lock is made only where there is none, which S3, Google
Cloud Storage and Azure decide themselves (If-None-Match: *, RFC 9110, 13.1.2); where a store cannot, whoever has
written it reads it again. A holder that is known to be dead, or has given no sign of life for long, is replaced by one
that made the object beside it which only one can make, and that then found the lock unchanged. Whoever has lost the
lock never writes it again, does not remove it, and is told by `check`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any

from refmaker.errors import BatchError, OutputError, RefmakerError, cause_of
from refmaker.file_version import FileVersion
from refmaker.locks.holder import Holder
from refmaker.urls import filesystem_of

__all__ = ["ObjectLock"]

BEAT = 30.0
DEAD_AFTER = 300.0
"""Seconds between signs of life, and without one after which a run of which nobody knows is taken for dead."""
_PAUSE = 0.5
_TAKING = ".taking"
_ALIVE = ".alive"


class ObjectLock:
    """A lock, held while the context is open.

    Parameters
    ----------
    url
        Of the object.
    what
        What is locked, as the user named it.
    storage_options
        Of its filesystem.
    wait
        Seconds to wait while another run holds it.
    doing, kind
        What the other run is doing, for the error; and of which kind that is.

    Raises
    ------
    RefmakerError
        On entering: another run holds it; or the store cannot be used.
    """

    def __init__(
        self,
        url: str,
        what: str,
        storage_options: Mapping[str, Any],
        *,
        wait: float = 0.0,
        doing: str = "using this ledger",
        kind: type[RefmakerError] = BatchError,
    ) -> None:
        self.url = url
        self.what = what
        self.storage_options = storage_options
        self.wait = wait
        self.doing = doing
        self.kind = kind
        self.me = Holder.own()
        self.taken_over: str | None = None
        self._store: _Store | None = None
        self._confirmed = 0.0
        self._lost = threading.Event()
        self._ended = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="refmaker-lock", daemon=True)

    def __enter__(self) -> ObjectLock:
        with self._explained("cannot be taken"):
            self._store = _Store(self.url, self.storage_options)
            until = time.monotonic() + self.wait
            while not self.attempt(last=time.monotonic() >= until):
                time.sleep(_PAUSE)
        self._confirmed = time.time()
        self._beating.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._beating.join()
        # A lock that stays is that of a process which does not live.
        _failure(self._release)

    def check(self) -> None:
        """Make sure that the lock is still held. Raises `OutputError`."""
        if not self._lost.is_set() and time.time() - self._confirmed > BEAT:
            with self._explained("cannot be read"):
                self.beat()
        if self._lost.is_set():
            raise OutputError(
                f"lost the lock {self.url}, which another run took over: nothing more was written; run again",
                source=self.what,
            )

    def attempt(self, *, last: bool) -> bool:
        """Take the lock; return False where somebody holds it, which is an error at last."""
        store = self._opened()
        if store.create("", self.me.encoded()):
            found = store.read("")
            if found is not None and found.run == self.me.run:
                return True
        else:
            found = store.read("")
            if found is None:  # it was released in between
                return False
            if found.lives() is False or (found.lives() is None and time.time() - store.alive() > DEAD_AFTER):
                return self._take_over(found)
        if last:
            raise self.kind(
                f"another run is {self.doing}: {found or Holder()}; wait until it ends, or remove {self.url} "
                "if it is dead",
                source=self.what,
            )
        return False

    def _take_over(self, dead: Holder) -> bool:
        """Put this run in the place of one that is dead; return False where another run was quicker."""
        store = self._opened()
        if not store.create(_TAKING, self.me.encoded()):
            if time.time() - store.changed(_TAKING) > DEAD_AFTER:  # whoever made it has died over it
                store.remove(_TAKING)
            return False
        try:
            # Both times are the store's: clocks of machines differ.
            silent = store.changed(_TAKING) - store.alive()
            if store.read("") != dead or (dead.lives() is None and silent < DEAD_AFTER):
                return False
            store.write("", self.me.encoded())
            found = store.read("")
            self.taken_over = str(dead)
            return found is not None and found.run == self.me.run
        finally:
            store.remove(_TAKING)

    def beat(self) -> None:
        """Show a sign of life; note where the lock is another's by now."""
        store = self._opened()
        found = store.read("")
        if found is None or found.run != self.me.run:
            self._lost.set()
            return
        store.write(_ALIVE, self.me.encoded())
        self._confirmed = time.time()

    def _beat(self) -> None:
        while not self._ended.wait(BEAT) and not self._lost.is_set():
            # A sign of life that does not get through is one less of several.
            _failure(self.beat)

    def _release(self) -> None:
        store = self._opened()
        found = store.read("")
        if found is not None and found.run == self.me.run:
            store.remove(_ALIVE)
            store.remove("")

    def _opened(self) -> _Store:
        if self._store is None:
            raise BatchError("the lock was not entered", source=self.what)
        return self._store

    @contextlib.contextmanager
    def _explained(self, what: str) -> Any:
        try:
            yield
        except RefmakerError:
            raise
        except Exception as error:  # every filesystem raises errors of its own
            raise self.kind(f"the lock {what}: {cause_of(error)}", source=self.url) from error


class _Store:
    """The object of a lock, and the ones beside it, by the ends of their names."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self.filesystem, self.path = filesystem_of(url, options)

    def create(self, end: str, content: bytes) -> bool:
        """Make an object; return False where there is one."""
        self.filesystem.invalidate_cache()
        # Filesystems have errors of their own: for what is there, and for what they cannot do.
        error = _failure(partial(self.filesystem.pipe_file, self.path + end, content, mode="create"))
        if error is None:
            return True
        if isinstance(error, FileExistsError) or self.filesystem.exists(self.path + end):
            return False
        self.filesystem.pipe_file(self.path + end, content)
        return True

    def read(self, end: str) -> Holder | None:
        """Return who an object says holds the lock; None where there is no object."""
        try:
            self.filesystem.invalidate_cache()
            return Holder.of(self.filesystem.cat_file(self.path + end)) or Holder()
        except FileNotFoundError:
            return None

    def alive(self) -> float:
        """Return when the holder gave its last sign of life."""
        beat = self.read(_ALIVE)
        return max(self.changed(""), 0.0 if beat is None else self.changed(_ALIVE))

    def changed(self, end: str) -> float:
        """Return when an object was written, in seconds since the epoch; now where nobody can tell."""
        with contextlib.suppress(FileNotFoundError):
            self.filesystem.invalidate_cache()
            modified = FileVersion.of(self.filesystem.info(self.path + end)).modified
            if modified is not None:
                return modified
        return time.time()

    def write(self, end: str, content: bytes) -> None:
        """Write an object, whether there is one or not."""
        self.filesystem.pipe_file(self.path + end, content)

    def remove(self, end: str) -> None:
        """Remove an object, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self.filesystem.rm_file(self.path + end)


def _failure(function: Callable[[], object]) -> BaseException | None:
    """Call what may fail; return the error."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).exception()
