"""The lock of one output: whoever reads it, changes it and writes it does so alone.

Contract: the lock stands beside the output, hidden, under a name made of the output's, and goes away when it is let go
of. It is a file with a lock of the system where there are any, else an object; in a store it is an object.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Protocol

from refmaker.leftovers import beside
from refmaker.locks.file_lock import Lock, NoFileLocksError
from refmaker.locks.object_lock import ObjectLock
from refmaker.urls import is_local, links, local_path, text_of

__all__ = ["WAIT", "Held", "locked"]

WAIT = 60.0
"""Seconds that a change of an output waits for the one before it."""
_DOING = "writing this output"


class Held(Protocol):
    """A lock that is held."""

    def check(self) -> None:
        """Make sure that the lock is still held. Raises `OutputError`."""


@contextlib.contextmanager
def locked(
    output: str | os.PathLike[str], *, wait: float = WAIT, storage_options: Mapping[str, Any] | None = None
) -> Iterator[Held]:
    """Hold the lock of an output while the context is open.

    Parameters
    ----------
    output
        Path or url.
    wait
        Seconds to wait while another run holds it.

    Raises
    ------
    BatchError
        Another run holds it; or the lock cannot be made.
    """
    name = text_of(output)
    with ExitStack() as stack:
        yield _entered(stack, name, wait, {} if storage_options is None else storage_options)


def _entered(stack: ExitStack, name: str, wait: float, options: Mapping[str, Any]) -> Held:
    if not is_local(name):
        return stack.enter_context(ObjectLock(_url_beside(name), name, options, wait=wait, doing=_DOING))
    path = beside(os.path.realpath(local_path(name)), "lock")
    try:
        return stack.enter_context(Lock(path, name, wait=wait, keep=False, doing=_DOING))
    except NoFileLocksError:
        return stack.enter_context(ObjectLock(f"file://{path}.object", name, {}, wait=wait, doing=_DOING))


def _url_beside(url: str) -> str:
    first, *rest = links(url)
    folder, _, name = first.rstrip("/").rpartition("/")
    return "::".join([posixpath.join(folder, os.path.basename(beside(name, "lock"))), *rest])
