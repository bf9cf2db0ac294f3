"""Sources behind any filesystem of fsspec: which store, what each round asks it for, and the bytes that came.

Contract: see `refmaker.window.Source`. A round fetches what is missing and not here, in the ranges that
`refmaker.sources.range_planner` chooses, and takes the room for it first. Failures of any kind are `SourceError`s that
name url and range.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from refmaker.errors import RefmakerError, SourceError
from refmaker.file_version import FileVersion
from refmaker.sources.async_store import NO_RANGES, Store, cause_of
from refmaker.sources.memory_budget import MemoryBudget
from refmaker.sources.range_planner import FIRST_READ, Plan
from refmaker.sources.sparse import SparseWindow
from refmaker.urls import filesystem_of, links
from refmaker.window import MissingBytes, Window

__all__ = ["RemoteSource", "fitting_store"]


@dataclass(slots=True)
class RemoteSource:
    """A file behind a filesystem of fsspec."""

    image: SparseWindow
    url: str
    version: FileVersion
    store: Store
    plan: Plan
    memory_budget: MemoryBudget

    @property
    def window(self) -> Window:
        """See `Source.window`."""
        return self.image

    @property
    def notes(self) -> list[str]:
        """What readers of references into this file should know."""
        return [] if getattr(self.store, "ranged", True) else [NO_RANGES]

    @staticmethod
    def open(
        url: str, storage_options: Mapping[str, Any] | None = None, memory_budget: MemoryBudget | None = None
    ) -> RemoteSource:
        """Look the file up and read its beginning.

        Raises
        ------
        SourceError
            If it cannot be reached, or its size is not known.
        FormatError
            If it is empty.
        """
        return RemoteSource.over(url, _store_of(url, storage_options), memory_budget)

    @staticmethod
    def over(url: str, store: Store, memory_budget: MemoryBudget | None = None) -> RemoteSource:
        """Read the beginning of a file in a store that is chosen already. Raises as `open` does."""
        memory_budget = MemoryBudget() if memory_budget is None else memory_budget
        version, data = store.open(FIRST_READ)
        memory_budget.reserve(len(data), url)
        image = SparseWindow(version.known_size)
        if data:
            image.store([0], [data])
        plan = Plan(image.size, store.rates, store.concurrency)
        return RemoteSource(image, url, version, store, plan, memory_budget)

    def fetch(self, missing: Sequence[MissingBytes]) -> None:
        """See `Source.fetch`."""
        addresses = np.concatenate([m.addresses for m in missing])
        sizes = np.concatenate([m.sizes for m in missing])
        starts, stops = self.image.lacking(addresses, addresses + sizes)
        if len(starts) == 0:
            raise RefmakerError("bytes are missed that are here", source=self.url)
        starts, stops = self.plan.requests(starts, stops, *self.image.extents)
        self.memory_budget.reserve(int((stops - starts).sum()), self.url)
        self.image.store(starts.tolist(), self.store.read(starts.tolist(), stops.tolist()))

    def check_unchanged(self) -> None:
        """See `Source.check_unchanged`: size, and ETag or modification time where the store has them."""
        self.store.check()


def _store_of(url: str, storage_options: Mapping[str, Any] | None) -> Store:
    """Choose the store for a url. Raises `SourceError` where there is no filesystem for it."""
    options = dict(storage_options or {})
    single = len(links(url)) == 1
    try:
        if single and url.startswith(("s3://", "s3a://")):
            from refmaker.sources.ranged_store import RangedStore
            from refmaker.stores.obstore_s3 import file_for
            from refmaker.stores.s3 import with_connections

            if (file := file_for(url, options)) is not None:
                return RangedStore(url, file)
            options = with_connections(options)
        filesystem, path = filesystem_of(url, options)
    except Exception as error:  # every filesystem raises errors of its own
        raise SourceError(f"cannot be reached: {cause_of(error)}", source=url) from error
    return fitting_store(url, filesystem, path)


def fitting_store(url: str, filesystem: Any, path: str) -> Store:
    """Return the store for a path in a filesystem."""
    from refmaker.sources.fsspec_store import FsspecStore, FsspecSyncStore
    from refmaker.sources.ranged_store import RangedStore
    from refmaker.stores.choice import file_in
    from refmaker.stores.fsspec import FsspecFile

    if not getattr(filesystem, "async_impl", False) or getattr(filesystem, "asynchronous", False):
        return FsspecSyncStore(url, filesystem, path)
    file = file_in(filesystem, path)
    return FsspecStore(url, file) if isinstance(file, FsspecFile) else RangedStore(url, file)
