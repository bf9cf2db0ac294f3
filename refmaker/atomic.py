"""Files that appear whole or not at all.

Contract: what is written goes to a new file in the same directory, which takes the name of the output only when all of
it is on the disk. Whatever fails before that leaves an existing output as it was, and nothing beside it; what a kill
leaves there, the next run for that output removes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

from refmaker.errors import OutputError
from refmaker.leftovers import CLOSES, claimed

__all__ = ["atomic_write", "renamed", "replace", "synced"]

_IN_USE = os.name == "nt"
"""Whether files that somebody has open cannot be replaced, nor folders with such files renamed."""
_TRIES = 12
_PAUSE = 0.01
"""Times that it is tried then, and seconds before the second one, each twice as long up to a second: about 5 s."""


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], *, durable: bool = True) -> Iterator[BinaryIO]:
    """Open a binary file that takes the place of `path` when the block ends well.

    Permissions are those of the file replaced, or for a new one what the umask leaves. A symbolic link stays one: its
    target is replaced. What is neither a file nor a directory (a pipe, a terminal, /dev/null) is written directly.

    Parameters
    ----------
    durable
        Wait until all of it is on the disk. Without that, a crash of the machine can leave a damaged file.

    Raises
    ------
    OutputError
        For every `OSError` on the way, one raised inside the block included, naming `path` and the system's reason.
    """
    name = os.path.expanduser(os.fsdecode(path))
    if "\0" in name:
        raise OutputError(f"cannot write {name!r}: a file name holds no NUL")
    try:
        real = os.path.realpath(name)
        mode = _mode(real)
        if mode is None or stat.S_ISREG(mode):
            with _replacing(real, mode, durable=durable) as file:
                yield file
        else:
            with open(real, "wb") as file:
                yield file
    except (OSError, UnicodeError) as error:  # the latter for a name that the system cannot take
        raise OutputError(f"cannot write {name!r}: {getattr(error, 'strerror', None) or error}") from error


def _mode(path: str) -> int | None:
    """Return the mode of what stands at `path`, None when nothing does."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return None
    if not os.access(path, os.W_OK):  # a rename would replace even a file that is write-protected
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    return mode


@contextlib.contextmanager
def _replacing(path: str, mode: int | None, *, durable: bool) -> Iterator[BinaryIO]:
    with claimed(path, folder=False) as (temporary, descriptor):
        try:
            with open(descriptor, "wb", closefd=CLOSES) as file:
                if mode is not None:
                    os.chmod(temporary, stat.S_IMODE(mode))
                yield file
                file.flush()
                if durable:
                    synced(descriptor)
            replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise


def replace(temporary: str, path: str) -> None:
    """Put a file in the place of another one, which readers may have open: Windows has them finish first.

    Raises
    ------
    OSError
        It cannot be done, or not as long as the readers read.
    """
    _patiently(os.replace, temporary, path)


def renamed(before: str, after: str) -> None:
    """Rename a folder, of which readers may have files open; see `replace`."""
    _patiently(os.rename, before, after)


def synced(descriptor: int) -> None:
    """Have what was written on the disk. On macOS, `fsync` alone leaves it in the disk's cache."""
    if sys.platform == "darwin":
        import fcntl

        with contextlib.suppress(OSError):  # filesystems that do not know it have `fsync`
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def _patiently(action: Callable[[str, str], None], before: str, after: str) -> None:
    pause = _PAUSE
    for _ in range(_TRIES if _IN_USE else 0):
        try:
            action(before, after)
        except PermissionError:
            time.sleep(pause)
            pause = min(2 * pause, 1.0)
        else:
            return
    action(before, after)
