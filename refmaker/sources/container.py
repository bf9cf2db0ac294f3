"""Members of containers that stand there as they are: sources at an offset in another file.

Contract: `zip://member::container` and `tar://member::container`, urls as fsspec chains them; which kinds there are,
and how a member is found in one, `sources.containers` says. References point into the container file itself. A member
that has no such place there is refused with the reason.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from refmaker.errors import FormatError, RefmakerError, SourceError, TruncatedError, cause_of
from refmaker.file_version import FileVersion
from refmaker.sources.containers import CONTAINERS
from refmaker.urls import is_local, local_path, opened, text_of
from refmaker.window import Addresses, Buffer, MissingBytes, ShiftedWindow, Source, Window

__all__ = ["MemberSource", "locate", "split_member"]


def split_member(url: str) -> tuple[str, str, str] | None:
    """Take a chained url apart: kind of container, member, url of the container. None for other urls."""
    kind, named, rest = url.partition("://")
    parts = rest.split("::")
    if kind not in CONTAINERS or not named or len(parts) < 2:
        return None
    # Members and files may have `::` in their names: the container is the first that is there.
    places = [("::".join(parts[:i]), "::".join(parts[i:])) for i in range(1, len(parts))]
    there = (place for place in places if is_local(place[1]) and os.path.exists(local_path(text_of(place[1]))))
    found = next(there, places[0])
    return (kind, *found) if all(found) else None


def locate(kind: str, member: str, container: str, options: Mapping[str, Any]) -> tuple[int, int]:
    """Find where a member lies in its container: offset and size.

    Raises
    ------
    SourceError
        The container cannot be read, or has no such member.
    Unsupported
        The member does not stand in the container as it is.
    """
    with _opened(container, options) as file:
        return located(kind, file, member, container)


def located(kind: str, file: IO[bytes], member: str, container: str) -> tuple[int, int]:
    """Find where a member lies in an opened container: see `locate`."""
    with _explained(container):
        found = CONTAINERS[kind](file, member)
    if found is None:
        raise SourceError(f"the {kind} file has no member {member!r}", source=container)
    if min(found) < 0:
        raise FormatError("a member of negative size or place", structure=kind, got=found, source=container)
    return found


@contextlib.contextmanager
def _opened(container: str, options: Mapping[str, Any]) -> Iterator[IO[bytes]]:
    with _explained(container), opened(container, options) as file:
        yield file


@contextlib.contextmanager
def _explained(container: str) -> Iterator[None]:
    try:
        yield
    except RefmakerError:
        raise
    except Exception as error:  # every filesystem raises errors of its own, and so do the readers of damaged containers
        raise SourceError(f"cannot be read: {cause_of(error)}", source=container) from error


class _MemberWindow(ShiftedWindow):
    """A Window that ends where the member does."""

    def __init__(self, window: Window, start: int, size: int) -> None:
        super().__init__(window, start)
        self._size = size

    @property
    def size(self) -> int:
        """Size of the member in bytes."""
        return self._size

    def at(self, address: int, size: int) -> tuple[Buffer, int]:
        """See `Window.at`."""
        self._check(address, size)
        return super().at(address, size)

    def want(self, addresses: Addresses, size: int) -> None:
        """See `Window.want`."""
        super().want(addresses, min(size, self._size))

    def rows(self, addresses: npt.NDArray[np.uint64], size: int) -> npt.NDArray[np.uint8]:
        """See `Window.rows`."""
        if len(addresses):
            self._check(int(addresses.max()), size)
        return super().rows(addresses, size)

    def _check(self, address: int, size: int) -> None:
        if address < 0 or size < 0 or address + size > self._size:
            raise TruncatedError(
                "reaches beyond the end of the member", address=address, expected=f"{size} bytes", got=self._size
            )


@dataclass(slots=True)
class MemberSource:
    """A member of a container. Its url and version are the container's, its addresses count from `start` there."""

    container: Source
    start: int
    window: Window
    url: str
    version: FileVersion

    @staticmethod
    def of(container: Source, start: int, size: int) -> MemberSource:
        """Open the part of a container that is a member."""
        if start + size > container.window.size:
            raise TruncatedError("a member reaches beyond its container", address=start, got=container.window.size)
        if size == 0:
            raise FormatError("the file is empty", structure="superblock", address=0)
        window = _MemberWindow(container.window, start, size)
        return MemberSource(container, start, window, container.url, container.version)

    @property
    def notes(self) -> list[str]:
        """What readers of references into the container should know."""
        return list(getattr(self.container, "notes", ()))

    def fetch(self, missing: Sequence[MissingBytes]) -> None:
        """See `Source.fetch`."""
        self.container.fetch(missing)

    def check_unchanged(self) -> None:
        """See `Source.check_unchanged`: of the container."""
        self.container.check_unchanged()


def container_options(container: str, options: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the options of the filesystem that a container is in.

    Under its protocol where fsspec has them, else all.
    """
    given = {} if options is None else options
    protocol = "file" if is_local(container) else container.partition("://")[0]
    kept = {name: value for name, value in given.items() if name not in CONTAINERS}
    found = kept.get(protocol, kept)
    return found if isinstance(found, Mapping) else kept
