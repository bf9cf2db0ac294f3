"""Folders that take the place of others, whole or not at all.

Contract: a new folder is made beside the old one. Linux exchanges the two in one step (renameat2), so that at any
moment one of them stands there. Elsewhere there are two steps, and between them nothing stands at the path: the old
one is then under a name that readers know (`standing`), and that the next run puts back or removes. What a killed run
left is removed by the next.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
from collections.abc import Iterator

from refmaker.atomic import renamed
from refmaker.errors import OutputError
from refmaker.leftovers import beside, claimed

__all__ = ["replacing", "standing"]

_HERE = -100
_EXCHANGE = 2
_CANNOT = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM})
"""What systems and filesystems say that cannot exchange two folders."""


def standing(path: str) -> str:
    """Return where the folder is that belongs at `path`: there, or set aside by a run that was killed."""
    if not os.path.lexists(path):
        aside = beside(os.path.realpath(path), "old")
        if os.path.isdir(aside):
            return aside
    return path


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Make a new folder that takes the place of `path` when the block ends well.

    Raises
    ------
    OutputError
        For every `OSError` on the way; what stood at `path` still does.
    """
    real = os.path.realpath(path)
    aside = beside(real, "old")
    try:
        _settle(real, aside)
        with claimed(real, folder=True) as (temporary, _):
            try:
                yield temporary
                _sync_all(temporary)
                _put(temporary, real, aside)
                _sync(os.path.dirname(real))
            finally:  # the new folder where something failed, else the old one
                shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"cannot write {path!r}: {error.strerror or error}") from error


def _settle(real: str, aside: str) -> None:
    """Put back what a killed run set aside, or remove it where the new folder is there."""
    if not os.path.isdir(aside):
        return
    if os.path.lexists(real):
        shutil.rmtree(aside, ignore_errors=True)
    else:
        renamed(aside, real)


def _put(new: str, real: str, aside: str) -> None:
    """Put a folder in its place. What stood there is then at `new`, or nowhere."""
    if not os.path.isdir(real):
        renamed(new, real)
        return
    with contextlib.suppress(OSError):
        shutil.copymode(real, new)
    if _exchanged(new, real):
        return
    renamed(real, aside)
    try:
        renamed(new, real)
    except BaseException:
        renamed(aside, real)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _exchanged(one: str, other: str) -> bool:
    """Exchange two folders in one step; return whether that can be done here."""
    if sys.platform != "linux":
        return False
    import ctypes

    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), ctypes.c_uint(_EXCHANGE)) == 0:
        return True
    number = ctypes.get_errno()
    if number in _CANNOT:
        return False
    raise OSError(number, os.strerror(number))


def _sync_all(folder: str) -> None:
    """Have the names in a folder and in those below it on the disk."""
    for below, _, _ in os.walk(folder):
        _sync(below)


def _sync(folder: str) -> None:
    """Have the names in a folder on the disk, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
