"""Scanning in a process apart: the libraries behind kerchunk are not made for hostile files.

Contract: a file over which they crash, never end or take more memory than `limits.FORMATS_MEMORY` costs that file: a
`FormatError` that says what happened. The process is started when it is first needed, by its own `python -c` rather
than forked (libraries hold threads and locks), serves one file after the other, is replaced when it ended, and ends
when nothing was asked of it for a while, or with whoever started it. Files that are not local are read here, with the
caller's filesystem and options, and their bytes handed over: no credentials leave this process. One thread at a time.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection
from typing import Any, Final

from refmaker import limits
from refmaker.errors import EngineError, FormatError, RefmakerError
from refmaker.formats.detect import TITLES, Format
from refmaker.formats.kerchunk_references import Found
from refmaker.processes import start

__all__ = ["scan_apart"]

_START: Final = 120.0
_GRACE: Final = 5.0
_ATTEMPTS: Final = 3


class _Process:
    """A process that scans, and the connection to it."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        try:
            # Quiet: libraries print what the report says as well.
            self.process, ours = start("refmaker.formats.child", quiet=True)
        except OSError as error:
            raise EngineError(f"a process to scan in cannot be started: {error.strerror}") from error
        self.connection: Connection[Any, Any] = Connection(ours.detach())

    def begin(self, *request: Any) -> bool:
        """Send a request; return whether the process is there and has begun."""
        with suppress(OSError, EOFError):
            self.connection.send(request)
            return self.connection.poll(_START) and self.connection.recv() == "begun"
        return False

    def end(self) -> str:
        """End the process if it has not ended; return how it did."""
        self.connection.close()
        try:
            status = self.process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self.kill()
            return "it had to be ended"
        names = {number.value: number.name for number in signal.Signals}
        return f"status {status}" if status >= 0 else f"signal {-status} ({names.get(-status, 'unknown')})"

    def kill(self) -> None:
        """End the process, whatever it is doing."""
        self.process.kill()
        self.process.wait()
        self.connection.close()


_running: _Process | None = None


def scan_apart(kind: Format, url: str, storage_options: Mapping[str, Any], size: int, *, local: bool) -> Found:
    """Scan a file in the process apart. Parameters as in `scanners.scan_here`.

    Raises
    ------
    FormatError
        The libraries fail on it, crash, or take too much.
    EngineError
        The process cannot be started.
    """
    with ExitStack() as stack:
        file = None if local else _opened(stack, url, storage_options)
        process = _begun((kind, url if local else None, size))
        try:
            return _served(process, kind, file)
        except RefmakerError:
            raise
        except BaseException:  # an interruption: nobody knows where the process is with its work
            _dismiss()
            raise


def _opened(stack: ExitStack, url: str, storage_options: Mapping[str, Any]) -> Any:
    import fsspec

    return stack.enter_context(fsspec.open(url, "rb", **storage_options))


def _begun(request: tuple[Any, ...]) -> _Process:
    """Have a process begin: the one that is there, or a new one where it has ended since."""
    global _running
    for _ in range(_ATTEMPTS):
        if _running is None or _running.owner != os.getpid():
            _running = _Process()
        if _running.begin(*request):
            return _running
        _dismiss()
    raise EngineError("the process to scan in ends as soon as it is started", source=sys.executable)


def _dismiss() -> None:
    """Leave no process behind."""
    global _running
    process, _running = _running, None
    if process is not None and process.owner == os.getpid():
        process.kill()


def _served(process: _Process, kind: Format, file: Any) -> Found:
    """Answer what the process asks for until it has a result."""
    connection = process.connection
    while True:
        try:
            if not connection.poll(limits.FORMATS_SILENCE):
                _dismiss()
                raise FormatError(f"to scan this {TITLES[kind]} file does not end: {limits.FORMATS_SILENCE:g} s passed")
            what, *content = connection.recv()
        except (EOFError, ConnectionError) as error:
            how = _ended()
            raise FormatError(f"the libraries that read {TITLES[kind]} files crashed over this one: {how}") from error
        if what == "read":
            _answer(connection, file, *content)
        elif what == "found":
            found: Found = content[0]
            return found
        elif what == "raised":
            raised: RefmakerError = content[0]
            raise raised


def _ended() -> str:
    global _running
    process, _running = _running, None
    return "" if process is None else process.end()


def _answer(connection: Connection[Any, Any], file: Any, offset: int, size: int) -> None:
    """Read a range of a file that is not local."""
    file.seek(offset)
    connection.send_bytes(file.read(size))


atexit.register(_dismiss)
