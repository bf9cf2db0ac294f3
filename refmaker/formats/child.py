"""The process that scans files of other formats: see `refmaker.formats.apart`.

Contract: takes a request, says that it has begun, then sends what was found or the error; asks in between for the
bytes of files that it cannot open itself. It ends when the connection does, whatever it is doing, and when nothing was
asked of it for a while. What the scan of a file may take of memory is bounded.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Final

from refmaker import limits
from refmaker.errors import RefmakerError
from refmaker.formats.detect import Format
from refmaker.formats.scanners import scan_here

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["main"]

IDLE: Final = 300.0
PROTOCOL: Final = "refmaker-handed"
_URL: Final = f"{PROTOCOL}://source/file"
_BLOCK: Final = 1 << 20


def main(descriptor: int) -> None:
    """Serve the connection that was inherited under a file descriptor, until it ends."""
    connection = Connection(descriptor)
    parent = os.getppid()
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    with suppress(EOFError, OSError):
        while connection.poll(IDLE):
            kind, path, size = connection.recv()
            connection.send("begun")
            if not _scan(connection, kind, path, size):
                break
    sys.stdout.flush()
    os._exit(0)


def _watch(parent: int) -> None:
    """End with whoever started this process, also during a scan."""
    import time

    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


def _scan(connection: Connection[Any, Any], kind: Format, path: str | None, size: int) -> bool:
    """Scan a file; return whether this process is still good for another one."""
    try:
        if path is None:
            _hand(connection, size)
        with _bounded(size if path is not None else 0):
            found = scan_here(kind, _URL if path is None else path, {}, size, lambda: connection.send(("alive",)))
    except RefmakerError as error:
        memory = isinstance(error.__cause__, MemoryError)
        error.__cause__ = error.__context__ = None
        connection.send(("raised", error))
        return not memory
    connection.send(("found", found))
    return True


@contextmanager
def _bounded(mapped: int) -> Iterator[None]:
    """Let allocations fail that take too much; `mapped` bytes of the file itself may be mapped beside."""
    try:
        import resource

        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (ImportError, OSError):  # not Linux
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = used + mapped + limits.FORMATS_MEMORY
    for bound in (soft, hard):
        most = most if bound == resource.RLIM_INFINITY else min(most, bound)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _hand(connection: Connection[Any, Any], size: int) -> None:
    """Have fsspec open `_URL` as the file that the other side reads."""
    import fsspec

    class Handed(fsspec.AbstractFileSystem):  # type: ignore[misc]
        protocol = PROTOCOL
        cachable = False

        def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
            return io.BufferedReader(_File(connection, size), _BLOCK)

        def info(self, path: str, **_: Any) -> dict[str, Any]:
            return {"name": path, "size": size, "type": "file"}

    fsspec.register_implementation(PROTOCOL, Handed, clobber=True)


class _File(io.RawIOBase):
    """A file of which another process has the bytes."""

    def __init__(self, connection: Connection[Any, Any], size: int) -> None:
        self.connection, self.size, self.position = connection, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.size}[whence]
        self.position = max(start + offset, 0)
        return self.position

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), max(self.size - self.position, 0))
        if not wanted:
            return 0
        self.connection.send(("read", self.position, wanted))
        data = self.connection.recv_bytes()
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)
