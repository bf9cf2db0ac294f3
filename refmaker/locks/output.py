"""The lock of one output: whoever reads it, changes it and writes it does so alone.

Contract: the lock stands beside the output, hidden, under a name made of the output's, and goes away when it is let go
of. It is a file with a lock of the system where there are any, else an object; in a store it is an object. Programs
that know nothing of the lock may write all the same: `check` finds that out too, just before the output is replaced.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Protocol

from refmaker.errors import OutputError
from refmaker.leftovers import beside
from refmaker.locks.file_lock import Lock, NoFileLocksError
from refmaker.locks.object_lock import ObjectLock
from refmaker.urls import filesystem_of, is_local, links, local_path, text_of

__all__ = ["WAIT", "Held", "LockedOutput", "locked"]

WAIT = 60.0
"""Seconds that a change of an output waits for the one before it."""
_DOING = "writing this output"
_VERSION = ("ETag", "etag", "generation", "mtime", "LastModified", "last_modified", "created", "size")


class Held(Protocol):
    """A lock that is held."""

    def check(self) -> None:
        """Make sure that the lock is still held. Raises `OutputError`."""


class LockedOutput:
    """An output whose lock is held."""

    def __init__(self, name: str, options: Mapping[str, Any], lock: Held | None) -> None:
        self.name = name
        self.options = options
        self.lock = lock
        self.before = _stamp(name, options)

    def check(self) -> None:
        """Make sure that nobody else has written, or may write.

        Raises
        ------
        OutputError
            The lock is lost, or the output is not the one that was there when it was taken.
        """
        if self.lock is not None:
            self.lock.check()
        if _stamp(self.name, self.options) != self.before:
            raise OutputError(
                "another program has replaced this output in the meantime: nothing was written; run again",
                source=self.name,
            )


@contextlib.contextmanager
def locked(
    output: str | os.PathLike[str], *, wait: float = WAIT, storage_options: Mapping[str, Any] | None = None
) -> Iterator[LockedOutput]:
    """Hold the lock of an output while the context is open.

    Parameters
    ----------
    output
        Path or url. Pipes and devices have no lock: what is written to them replaces nothing.
    wait
        Seconds to wait while another run holds it.

    Raises
    ------
    OutputError
        Another run holds it; or the lock cannot be made.
    """
    name = text_of(output)
    options = {} if storage_options is None else storage_options
    with ExitStack() as stack:
        yield LockedOutput(name, options, _entered(stack, name, wait, options))


def _entered(stack: ExitStack, name: str, wait: float, options: Mapping[str, Any]) -> Held | None:
    if not is_local(name):
        return stack.enter_context(
            ObjectLock(_url_beside(name), name, options, wait=wait, doing=_DOING, kind=OutputError)
        )
    real = os.path.realpath(local_path(name))
    if os.path.exists(real) and not (os.path.isfile(real) or os.path.isdir(real)):
        return None
    path = beside(real, "lock")
    try:
        return stack.enter_context(Lock(path, name, wait=wait, keep=False, doing=_DOING, kind=OutputError))
    except NoFileLocksError:
        return stack.enter_context(
            ObjectLock(f"file://{path}.object", name, {}, wait=wait, doing=_DOING, kind=OutputError)
        )


def _url_beside(url: str) -> str:
    first, *rest = links(url)
    folder, _, name = first.rstrip("/").rpartition("/")
    return "::".join([posixpath.join(folder, os.path.basename(beside(name, "lock"))), *rest])


def _stamp(name: str, options: Mapping[str, Any]) -> object:
    """Return what tells the output that stands at a name from any other that may; None where there is none."""
    if is_local(name):
        try:
            status = os.stat(local_path(name))
        except (OSError, ValueError):
            return None
        return None if _is_passage(status) else (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
    filesystem, path = filesystem_of(name, options)
    filesystem.invalidate_cache()
    for place in (path, path.rstrip("/") + "/.zmetadata"):  # of a Parquet set, the file that is written last
        with contextlib.suppress(FileNotFoundError):
            found = filesystem.info(place)
            if found.get("type") != "directory":
                return tuple(str(found.get(key)) for key in _VERSION)
    return None


def _is_passage(status: os.stat_result) -> bool:
    return not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode))
