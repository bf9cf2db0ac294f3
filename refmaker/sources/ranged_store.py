"""Files whose answers say what they are: HTTP, S3 by either client.

Contract: see `refmaker.sources.async_store`. The first request asks for a range and learns all there is to know: size,
ETag and time stand in the head of the answer. Every later answer has to be the range that was asked for, of a file with
the same size, ETag and time, so that no condition (If-Match, which some servers fail for weak ETags) and no check at
the end is needed. A server may ignore ranges (RFC 9110, 14.2): then its first answer is the file, which is taken if it
is not too large.
"""

from __future__ import annotations

import asyncio
from functools import partial

from refmaker.errors import FormatError, SourceError, TargetChanged
from refmaker.file_version import FileVersion, check_unchanged
from refmaker.sources.async_store import NO_SIZE, WHOLE_LIMIT, AsyncStore
from refmaker.stores.request import Answer, Head, NoSuchRange, NotMatched, RangeFile

__all__ = ["RangedStore"]


class RangedStore(AsyncStore):
    """A file whose answers say which part of which version they are."""

    def __init__(self, url: str, file: RangeFile) -> None:
        super().__init__(url, file)
        self.file: RangeFile = file

    async def first(self, size: int, time: asyncio.Timeout) -> tuple[FileVersion, bytes]:
        """See `AsyncStore.first`."""
        until = time.when() or 0.0
        whole = False

        def came(number: int) -> None:
            if whole:  # a server that sends slowly for ever is not waited for
                time.reschedule(until + number / self.policy.slowest)

        def admit(head: Head) -> int:
            nonlocal whole
            whole = not head.part
            return self._admit_part(size, head) if head.part else self._admit_whole(head)

        try:
            answer = await self.file.request(0, size, admit, came=came)
        except NoSuchRange as error:
            if error.size == 0:
                raise self._empty() from error
            message = "the server refuses to send a part of the file (status 416); download it and scan the copy"
            raise SourceError(message, source=self.url, got=error.said) from error
        data = answer.data
        if not answer.head.part:
            self._check_whole(answer)
            # A whole file that was asked for as a range that holds all of it says nothing.
            self.ranged = answer.head.ranges and len(data) <= size and await self._serves_ranges(len(data))
        else:
            _check_length(len(data), min(size, answer.head.version.known_size))
        self.rates.note(answer.waited, len(data), answer.took)
        version = answer.head.version
        return FileVersion(len(data), version.etag, version.modified, version.coarse) if whole else version, data

    async def range(self, start: int, stop: int) -> bytes:
        """See `AsyncStore.range`."""
        try:
            answer = await self.file.request(start, stop, partial(self._admit, start, stop))
        except FileNotFoundError as error:
            raise TargetChanged("the file changed while it was scanned: it went away", source=self.url) from error
        except NoSuchRange as error:
            raise TargetChanged("the file changed while it was scanned: it became shorter", source=self.url) from error
        except NotMatched as error:
            raise TargetChanged("the file changed while it was scanned; scan it again", source=self.url) from error
        self.rates.note(answer.waited, len(answer.data), answer.took)
        return answer.data

    def _admit(self, start: int, stop: int, head: Head) -> int:
        """Raise unless an answer is the range that was asked for, of the file that was opened."""
        check_unchanged(self.url, self.version, head.version)
        if not head.part:
            raise SourceError(f"the server ignored the range ({head.shown})", source=self.url)
        if head.place != (start, stop):
            raise self._another_range(start, stop, head)
        return stop - start

    def _admit_part(self, size: int, head: Head) -> int:
        total = head.version.size
        if head.place is None or total is None:
            raise SourceError(NO_SIZE, source=self.url, got=head.shown)
        if head.place != (0, min(size, total)):
            raise self._another_range(0, min(size, total), head)
        return min(size, total)

    def _admit_whole(self, head: Head) -> int:
        """Take the file from a server that ignores ranges."""
        if not head.delimited:
            raise SourceError(NO_SIZE, source=self.url)
        if head.length is not None and head.length > WHOLE_LIMIT:
            raise self._too_large(head.length)
        return WHOLE_LIMIT if head.length is None else head.length

    def _check_whole(self, answer: Answer) -> None:
        data, length = answer.data, answer.head.length
        if not data and not length:
            raise self._empty()
        if length is None and len(data) > WHOLE_LIMIT:
            raise self._too_large(len(data))
        if length is not None:
            _check_length(len(data), length)

    async def _serves_ranges(self, size: int) -> bool:
        """Return whether a server that sent the file for a range that holds all of it knows ranges nevertheless."""
        try:
            answer = await self.file.request(size - 1, size, lambda head: 1)
        except (NoSuchRange, FileNotFoundError):
            return True
        except Exception as error:
            if getattr(error, "status", None) is not None:  # it does not send the file, at least
                return True
            raise
        return answer.head.part

    def _empty(self) -> FormatError:
        return FormatError("the file is empty", structure="superblock", address=0, source=self.url)

    def _too_large(self, got: int) -> SourceError:
        return SourceError(
            "the server ignores ranges, and the file is too large to be read whole; download it and scan the copy",
            source=self.url,
            expected=f"<= {WHOLE_LIMIT} bytes",
            got=got,
        )

    def _another_range(self, start: int, stop: int, head: Head) -> SourceError:
        return SourceError(
            "the server sent another range", source=self.url, expected=f"bytes {start} to {stop}", got=head.shown
        )


def _check_length(got: int, expected: int) -> None:
    if got != expected:
        raise ConnectionError(f"an answer of {got} bytes instead of {expected}")
