"""How many bytes a scan may hold, alone or beside others.

Contract: all sources of a scan take the room for what they fetch from one `MemoryBudget`, before they fetch it. Alone,
a scan may hold `LIMIT` bytes. Of scans side by side (`SharedBudget`), each has a share of half of that; the other half
goes to one scan at a time, the others wait for it when they come to need more than their share. The one that has it
never waits for them, so that this always ends. A scan that needs more than there is fails with `SourceError`.
"""

from __future__ import annotations

import threading
from types import TracebackType

from refmaker import limits
from refmaker.errors import SourceError

__all__ = ["LIMIT", "MemoryBudget", "SharedBudget"]

LIMIT = limits.REMOTE_MEMORY


class MemoryBudget:
    """The bytes that one scan may hold. Use it as a context, which ends with the scan.

    Parameters
    ----------
    limit
        Bytes that the scan may hold.
    share
        Bytes that it may hold without asking others.
    rest
        Held while the scan holds more than its share.
    ended
        Set when nobody wants the scan's outcome any more.
    """

    def __init__(
        self,
        limit: int = LIMIT,
        share: int | None = None,
        rest: threading.Lock | None = None,
        ended: threading.Event | None = None,
    ) -> None:
        self.limit = limit
        self.share = limit if share is None else share
        self.rest = rest
        self.ended = ended
        self.taken = 0
        self.has_rest = False
        self._lock = threading.Lock()

    def reserve(self, size: int, url: str) -> None:
        """Take room for `size` bytes; wait for it where others have it.

        Raises
        ------
        SourceError
            If there is not so much, or the scan is not to go on.
        """
        if self.ended is not None and self.ended.is_set():
            raise SourceError("the scan was ended before it was done", source=url)
        with self._lock:
            if self.taken + size > self.limit:
                raise SourceError(
                    "the scan would hold more bytes of the file in memory than it may; download it and scan the copy",
                    source=url,
                    expected=f"<= {self.limit} bytes",
                    got=self.taken + size,
                )
            if self.taken + size > self.share and self.rest is not None and not self.has_rest:
                self.has_rest = self.rest.acquire()
            self.taken += size

    def __enter__(self) -> MemoryBudget:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.has_rest and self.rest is not None:
            self.has_rest = False
            self.rest.release()


class SharedBudget:
    """Room for several scans side by side.

    Parameters
    ----------
    scans
        How many there are at most at a time.
    limit
        Bytes that all of them may hold together.
    """

    def __init__(self, scans: int, limit: int = LIMIT) -> None:
        self.share = limit // 2 // scans
        self.limit = limit // 2
        self.rest = threading.Lock()
        self.ended = threading.Event()

    def memory_budget(self) -> MemoryBudget:
        """Return the room of one scan."""
        return MemoryBudget(self.limit, self.share, self.rest, self.ended)

    def end(self) -> None:
        """Have all scans fail with the next bytes that they need."""
        self.ended.set()
