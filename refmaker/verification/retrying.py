"""Reading the originals from servers that ask for patience: 429, 503, lost connections.

Contract: what fails for a reason that may pass is tried again as `refmaker.retry` has it; how often that was necessary
is counted. What lasts is raised, and says how often it was tried.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from refmaker.errors import SourceError
from refmaker.retry import RetryPolicy, retry_after, retry_sync

__all__ = ["CountedRetries", "PatientFile"]

T = TypeVar("T")

_CAUSES = 8
"""Errors behind an error that are looked at: fsspec says of a 503 that there is no such file."""
_ASKED_TO_WAIT = ("SlowDown", "TooManyRequests", "RequestLimitExceeded", "Throttling", "ServiceUnavailable")


class CountedRetries:
    """Makes attempts, and counts those that were not the first."""

    def __init__(self, policy: RetryPolicy | None = None) -> None:
        self.policy = RetryPolicy() if policy is None else policy
        self.repeated = 0

    def __call__(self, work: Callable[[], T]) -> T:
        """Return what `work` gives, tried again where its failure may pass."""
        try:
            return retry_sync(work, self.policy, _may_pass, failed=self._count)
        except Exception as error:  # every filesystem raises errors of its own
            if _may_pass(error) is None:
                raise
            raise SourceError(f"{_cause(error)}, in {self.policy.attempts} attempts") from error

    def _count(self, error: Exception) -> None:
        self.repeated += 1


class PatientFile(io.RawIOBase):
    """A file of fsspec, whose reads are tried again.

    Parameters
    ----------
    file
        Seekable; closed by who opened it.
    """

    def __init__(self, file: Any, retries: CountedRetries) -> None:
        self.file = file
        self.retries = retries
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
        data = self.retries(lambda: self._read(len(into)))
        into[: len(data)] = data
        self.at += len(data)
        return len(data)

    def _read(self, size: int) -> bytes:
        self.file.seek(self.at)
        data: bytes = self.file.read(size)
        return data


def _may_pass(error: BaseException) -> float | None:
    """Return how many seconds to wait before another attempt, None if that is in vain; see `retry.retry_after`."""
    for one in _chain(error):
        if (asked := retry_after(one)) is not None:
            return asked
        if isinstance(one, OSError) and one.errno == errno.EBUSY:
            return 0.0
        if any(word in str(one)[:1000] for word in _ASKED_TO_WAIT):
            return 0.0
    return None


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
    first = next((one for one in _chain(error) if retry_after(one) is not None), error)
    return f"{type(first).__name__}: {first}".split("\n", 1)[0][:500]
