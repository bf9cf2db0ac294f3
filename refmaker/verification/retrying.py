"""Reading the originals from servers that ask for patience: 429, 503, lost connections.

Contract: what fails for a reason that may pass is tried again, with a random pause that may be twice as long each time;
how often that was necessary is counted. What lasts is raised, and says how often it was tried.
"""

from __future__ import annotations

import errno
import io
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from refmaker import limits
from refmaker.errors import SourceError
from refmaker.replay.read_errors import is_transient

__all__ = ["RetryPolicy", "PatientFile"]

T = TypeVar("T")

_PAUSE = 0.2
"""Seconds, the longest pause before the second attempt."""
_CAUSES = 8
"""Errors behind an error that are looked at: fsspec says of a 503 that there is no such file."""
_ASKED_TO_WAIT = ("SlowDown", "TooManyRequests", "RequestLimitExceeded", "Throttling", "ServiceUnavailable")


class RetryPolicy:
    """Makes attempts, and counts those that were not the first."""

    def __init__(self) -> None:
        self.repeated = 0

    def __call__(self, work: Callable[[], T]) -> T:
        """Return what `work` gives, tried again where its failure may pass."""
        for attempt in range(1, limits.READ_ATTEMPTS + 1):
            try:
                return _attempt(work)
            except _BusyError as error:
                if attempt == limits.READ_ATTEMPTS:
                    raise SourceError(f"{error.message}, in {attempt} attempts") from error
            self.repeated += 1
            time.sleep(random.uniform(0, min(_PAUSE * 2**attempt, limits.LONGEST_PAUSE)))  # noqa: S311
        raise SourceError("no attempt was allowed", expected=">= 1 attempts", got=limits.READ_ATTEMPTS)


class PatientFile(io.RawIOBase):
    """A file of fsspec, whose reads are tried again.

    Parameters
    ----------
    file
        Seekable; closed by who opened it.
    """

    def __init__(self, file: Any, patience: RetryPolicy) -> None:
        self.file = file
        self.patience = patience
        self.at = 0

    def readable(self) -> bool:
        """See `io.IOBase.readable`."""
        return True

    def seekable(self) -> bool:
        """See `io.IOBase.seekable`."""
        return True

    def tell(self) -> int:
        """See `io.IOBase.tell`."""
        return self.at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See `io.IOBase.seek`."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.at}.get(whence)
        self.at = (int(self.file.size) if base is None else base) + offset
        return self.at

    def readinto(self, buffer: Any) -> int:
        """See `io.RawIOBase.readinto`."""
        into = memoryview(buffer).cast("B")
        data = self.patience(lambda: self._read(len(into)))
        into[: len(data)] = data
        self.at += len(data)
        return len(data)

    def _read(self, size: int) -> bytes:
        self.file.seek(self.at)
        data: bytes = self.file.read(size)
        return data


class _BusyError(SourceError):
    """What failed may succeed a little later."""


def _attempt(work: Callable[[], T]) -> T:
    try:
        return work()
    except Exception as error:
        if not _may_pass(error):
            raise
        raise _BusyError(_cause(error)) from error


def _may_pass(error: BaseException) -> bool:
    for one in _chain(error):
        if is_transient(one) or (isinstance(one, OSError) and one.errno == errno.EBUSY):
            return True
        if any(word in str(one)[:1000] for word in _ASKED_TO_WAIT):
            return True
    return False


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Iterate over an error and those that it came from."""
    at: BaseException | None = error
    for _ in range(_CAUSES):
        if at is None:
            return
        yield at
        at = at.__cause__ or at.__context__


def _cause(error: BaseException) -> str:
    """Return what happened at first, not what a library made of it."""
    first = next((one for one in _chain(error) if is_transient(one)), error)
    return f"{type(first).__name__}: {first}".split("\n", 1)[0][:500]
