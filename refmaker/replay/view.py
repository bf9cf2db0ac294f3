"""What a filesystem shows of a manifest, whichever way it is made.

Contract: a view has keys and folders (`opened`), and reads what a key refers to. Keys come to it resolved by its own
`opened.lookup`, and byte ranges as that lookup gave them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from refmaker.replay.loading import LoadedManifest
from refmaker.replay.lookup import ResolvedKey
from refmaker.replay.requests import ReadRequest

__all__ = ["View"]


class View(Protocol):
    """What a filesystem shows of a manifest."""

    opened: LoadedManifest

    def read_nowait(self, key: ResolvedKey) -> bytes | None:
        """Return a whole chunk if that takes no waiting; None where it would, or where it fails."""
        ...

    async def read_whole(self, keys: Sequence[ResolvedKey]) -> list[bytes | Exception | None]:
        """Return many whole chunks.

        Each as its bytes or its error; None for what is not plain, to be read otherwise.
        """
        ...

    async def read(self, request: ReadRequest, key: ResolvedKey | None = None) -> bytes:
        """Return the bytes of a request; raises a `RefmakerError` where they cannot be read.

        Parameters
        ----------
        key
            What the request is all of, where it is: those who read whole chunks are likely to read the next.
        """
        ...

    async def read_all(self, requests: Sequence[ReadRequest]) -> list[bytes | Exception]:
        """Return the bytes of many requests, for each these or its error."""
        ...

    async def size(self, request: ReadRequest) -> int | None:
        """Return the size of what is asked for, by the target where the manifest has none; None if nobody knows it."""
        ...
