"""The descriptors of this process: how many may be used, and local files that are open as long as others need none.

Contract: a `LocalFile` is opened when it is read and may be closed at any time behind the back of who holds it; it is
opened again when it is read again. All readers of a path share one. At most `share` of what the process may open is
held by them, and it is given back as soon as the system says that there is no descriptor left (EMFILE, ENFILE): who
opens anything does so through `with_room`. A file that is being read from is closed behind the last such read, so that
a number never comes to mean another file.

The order in which files are closed is that of the clock algorithm (second chance): reading sets a flag and moves
nothing, so that it costs nothing.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import weakref
from collections.abc import Callable
from typing import Final, TypeVar

from refmaker import limits

__all__ = [
    "FLAGS",
    "LocalFile",
    "OpenFile",
    "give_back",
    "is_exhausted",
    "local_file",
    "most_open",
    "pread",
    "with_room",
]

T = TypeVar("T")

# Without O_NONBLOCK, opening a named pipe would wait for a writer.
FLAGS: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)

_USUAL = 1024
"""Descriptors of a process, where the system does not tell."""

_TRIES = 4
"""How often half of the files are closed for one that is to be opened."""


_OPEN: dict[int, weakref.ref[LocalFile]] = {}
"""Local files that are open, by `id`, in the order in which they were opened or found to be used."""


_seeking = threading.Lock()
"""Where places in files are shared by all who read: held from going to a place until it was read."""


class OpenFile:
    """A descriptor and the file that it is of; closed when nobody reads from it any more."""

    __slots__ = ("identity", "number", "used")

    def __init__(self, number: int) -> None:
        self.number = number
        self.used = True
        self.identity = (0, 0)

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        close(self.number)


class LocalFile:
    """A path, open or not. Take `opened` once for each read: it may be another, or None, at the next."""

    __slots__ = ("__weakref__", "opened", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self.opened: OpenFile | None = None

    def open(self) -> tuple[OpenFile, os.stat_result]:
        """Open the file, or whatever stands at its path by now.

        Raises
        ------
        OSError
            It cannot be opened, or is no regular file.
        """
        opened = OpenFile(with_room(os.open, self.path, FLAGS))
        status = os.fstat(opened.number)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", self.path)
        opened.identity = (status.st_dev, status.st_ino)
        self.opened = opened
        _files.note(self)
        return opened, status

    def __del__(self, forget: Callable[..., object] = _OPEN.pop) -> None:
        forget(id(self), None)


class _Files:
    """All local files that somebody holds."""

    def __init__(self) -> None:
        # It may be taken again by a finalizer that runs within.
        self.lock = threading.RLock()
        self.known: weakref.WeakValueDictionary[str, LocalFile] = weakref.WeakValueDictionary()

    def get(self, path: str) -> LocalFile:
        """Return the one file of a path."""
        with self.lock:
            found = self.known.get(path)
            if found is None:
                found = self.known[path] = LocalFile(path)
            return found

    def note(self, file: LocalFile) -> None:
        """Take in a file that was opened; close others where there are too many."""
        with self.lock:
            _OPEN[id(file)] = weakref.ref(file)
            self.close(len(_OPEN) - most_open(limits.OPEN_FILES), but=file)

    def close(self, count: int, but: LocalFile | None = None) -> int:
        """Close so many files, those first that were not read since they were last looked at; return how many were."""
        closed = 0
        with self.lock:
            for _ in range(2 * len(_OPEN)):
                if closed >= count or not _OPEN:
                    break
                key = next(iter(_OPEN), 0)
                reference = _OPEN.pop(key, None)
                file = None if reference is None else reference()
                opened = None if file is None else file.opened
                if reference is None or file is None or opened is None:
                    continue
                if file is but or opened.used:
                    opened.used = file is but
                    _OPEN[key] = reference
                else:
                    file.opened = None
                    closed += 1
        return closed


_files = _Files()


def _forget() -> None:
    """Let go of a lock that a thread held which is not there in a forked process."""
    global _seeking
    _files.lock = threading.RLock()
    _seeking = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def local_file(path: str) -> LocalFile:
    """Return the file of an absolute path, which all readers of it share. It need not be there."""
    return _files.get(path)


def most_open(most: int, share: int = 4) -> int:
    """Return how many descriptors one part of the library may hold: `most`, or a `share`-th of what the process may."""
    try:
        import resource

        allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        allowed = most * share if allowed == resource.RLIM_INFINITY else allowed
    except (ImportError, OSError, ValueError):
        allowed = _USUAL
    return max(min(most, allowed // share), 1)


def pread(number: int, size: int, address: int) -> bytes:
    """Read from a place of a file, as `os.pread` does: by one thread at a time where the system has no such call."""
    if hasattr(os, "pread"):
        return os.pread(number, size, address)
    with _seeking:
        os.lseek(number, address, os.SEEK_SET)
        return os.read(number, size)


def give_back() -> int:
    """Close half of the local files that are open, at least one; return how many were closed."""
    return _files.close(max(len(_OPEN) // 2, 1))


def is_exhausted(error: BaseException | None) -> bool:
    """Return whether something failed because the process, or the system, has no descriptor left."""
    for _ in range(8):
        if error is None:
            return False
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            return True
        inner = getattr(error, "os_error", None)
        error = inner if isinstance(inner, OSError) and inner is not error else error.__cause__ or error.__context__
    return False


def with_room(function: Callable[..., T], *args: object) -> T:
    """Call a function that takes descriptors; where there are none left, close files and call it again."""
    for _ in range(_TRIES):
        try:
            return function(*args)
        except OSError as error:
            if not is_exhausted(error) or not give_back():
                raise
    return function(*args)
