"""Unfinished outputs beside their place: one name for each output, which tells whether its writer still works on it.

Contract: what is not yet an output stands under a name made of the output's, and its writer holds a lock on it. What
is found there without a lock was left by a run that was killed: it is removed by the next one for the same output, so
that nothing has to be listed. Where there are no such locks (`flock`), names are random and nothing is removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator

__all__ = ["CLOSES", "beside", "claimed"]

CLOSES = os.name == "nt"
"""The block closes the descriptor of a file itself."""

_ATTEMPTS = 8


def beside(path: str, end: str) -> str:
    """Return the name beside an output under which a part of its making stands; no longer than any name may be."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".refmaker-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}.{end}")


@contextlib.contextmanager
def claimed(path: str, *, folder: bool) -> Iterator[tuple[str, int]]:
    """Make a new file or folder beside an output; return its name and an open descriptor of it.

    What a killed run left is removed before. That of a run that goes on is not: then the name is another one. The
    descriptor holds the lock, and is closed at the end of the block. Systems without locks (Windows) neither open
    folders nor rename open files: there the descriptor of a folder is -1, and that of a file belongs to the block.
    """
    usual = beside(path, "tmp")
    for attempt in range(_ATTEMPTS):
        name = usual if attempt < _ATTEMPTS // 2 and _locks() else beside(path, f"{os.urandom(8).hex()}.tmp")
        descriptor = _made(name, folder=folder)
        if descriptor is None:
            if not (_locks() and _cleared(name, folder=folder)):
                usual = beside(path, f"{os.urandom(8).hex()}.tmp")
            continue
        if not _locks() or (_locked(descriptor) and _is_at(descriptor, name)):
            break
        os.close(descriptor)  # another run took it for a leftover, in the moment before it was locked
    else:
        raise FileExistsError(f"no name for an unfinished output: {usual!r} is taken")
    try:
        yield name, descriptor
    finally:
        if _locks():
            os.close(descriptor)


def _made(name: str, *, folder: bool) -> int | None:
    """Make a file or folder and open it; None where the name is taken."""
    try:
        if not folder:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
            return os.open(name, flags, 0o666)
        os.mkdir(name)
    except FileExistsError:
        return None
    if not _locks():
        return -1
    try:
        return os.open(name, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:  # taken for a leftover at once
        return None


def _cleared(name: str, *, folder: bool) -> bool:
    """Remove what stands at a name if nobody works on it; return whether the name is free."""
    try:
        descriptor = os.open(name, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        if not (_locked(descriptor) and _is_at(descriptor, name)):
            return False
        if folder:
            shutil.rmtree(name)
        else:
            os.unlink(name)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _locks() -> bool:
    return not CLOSES


def _locked(descriptor: int) -> bool:
    """Lock a file or folder, where its filesystem can; return whether that went well."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a filesystem without locks
        return True
    return True


def _is_at(descriptor: int, name: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(name))
    except FileNotFoundError:
        return False
