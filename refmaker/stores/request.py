"""One request for a range of a file, whatever the protocol: what is asked, what an answer says of itself and gives.

Contract: a `RangeFile` asks once. It knows neither scans nor manifests: who asks looks at the `Head` of the answer
before its body is read, and refuses what is not meant by raising. The kinds of failure that callers tell apart have
one class each for all protocols: `FileNotFoundError`, `NoSuchRange`, `NotMatched`; everything else is as the client
raises it, and `refmaker.retry` says what may pass.

Sources: RFC 9110, 13.1.1 (If-Match), 14.2 (Range), 14.4 (Content-Range), 15.3.7 (206), 15.5.17 (416).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

from refmaker.file_version import FileVersion

__all__ = ["Admit", "Answer", "Came", "Head", "NoSuchRange", "NotMatched", "RangeFile"]


class Head(NamedTuple):
    """What an answer says of itself.

    Attributes
    ----------
    part
        It is a part of the file; else all of it.
    place
        Start and stop of the part, None where it does not say that.
    version
        Of the whole file; its size is None where it does not say that.
    length
        Bytes of the body, None where it does not say that.
    shown
        The answer in the words of the server, for messages.
    delimited
        The body has an end that can be told from a connection that was lost.
    ranges
        Not False: the server does not say that it has no ranges.
    """

    part: bool
    place: tuple[int, int] | None
    version: FileVersion
    length: int | None = None
    shown: str = ""
    delimited: bool = True
    ranges: bool = True


class Answer(NamedTuple):
    """A body, with what the answer said of itself, and the seconds until it came and while it did."""

    head: Head
    data: bytes
    waited: float
    took: float


Admit: TypeAlias = Callable[[Head], int]
"""Looks at an answer before its body is read: gives how many bytes are read at most (one more shows that there are
more), or raises."""

Came: TypeAlias = Callable[[int], None]
"""Is told how many bytes there are so far."""


class NotMatched(Exception):
    """The file has another ETag than the one that was asked for: `etag`, where the answer tells it."""

    def __init__(self, etag: str | None = None) -> None:
        super().__init__("another version of the file is there")
        self.etag = etag


class NoSuchRange(Exception):
    """The server refuses the range (416); `size` of the file where it tells that, and what it `said`."""

    def __init__(self, size: int | None, said: str) -> None:
        super().__init__(f"the range is refused (status 416): {said}")
        self.size = size
        self.said = said


class RangeFile(Protocol):
    """A file of a store that answers ranges.

    Attributes
    ----------
    concurrency
        Requests that are worth being in flight at a time.
    cost
        Seconds of this machine's time that a request takes.
    """

    concurrency: int
    cost: float

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that the requests of a scan are made on."""
        ...

    async def request(
        self, start: int, stop: int | None, admit: Admit, *, match: str | None = None, came: Came | None = None
    ) -> Answer:
        """Ask once for a range, or for the whole file where `stop` is None.

        Parameters
        ----------
        match
            The ETag that the file must have (If-Match).

        Raises
        ------
        FileNotFoundError, NoSuchRange, NotMatched
            There is no such file, range, or version. Else whatever the client raises, and `admit`.
        """
        ...
