"""Reading of stores in bounded batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pytest

from refmaker import limits
from refmaker.errors import FormatError, SourceError, TruncatedError
from refmaker.file_version import Target
from refmaker.zarr_stores.store import Entry, Range, check_count, read_documents, read_ranges


@dataclass
class Memory:
    """A store of bytes."""

    data: dict[str, bytes]
    url: str = "memory"
    targets: list[Target] = field(default_factory=list)
    listed: bool = True
    batches: list[int] = field(default_factory=list)
    problem: str | None = None

    @property
    def entries(self) -> dict[str, Entry]:
        return {key: Entry(0, 0, len(data), self.problem) for key, data in self.data.items()}

    def look_up(self, keys: Iterable[str]) -> None:
        pass

    def read(self, ranges: Sequence[Range]) -> list[bytes]:
        self.batches.append(len(ranges))
        return [self.data[one.key][one.start : one.start + one.size] for one in ranges]

    def check_unchanged(self) -> None:
        pass


def test_ranges_come_in_batches() -> None:
    store = Memory({"a": bytes(range(100))})
    found = read_ranges(store, [Range("a", i % 100, 1) for i in range(2500)])
    assert found == [bytes([i % 100]) for i in range(2500)]
    assert store.batches == [1024, 1024, 452]


def test_what_ends_early_is_an_error() -> None:
    with pytest.raises(TruncatedError, match="ends before"):
        read_ranges(Memory({"a": b"abc"}), [Range("a", 2, 2)])


def test_documents() -> None:
    assert read_documents(Memory({"a": b"{}"}), ["a"]) == {"a": b"{}"}
    with pytest.raises(FormatError, match="too large"):
        read_documents(Memory({"a": bytes(limits.METADATA_SIZE + 1)}), ["a"])
    with pytest.raises(SourceError, match="compressed"):
        read_documents(Memory({"a": b"{}"}, problem="it is compressed"), ["a"])


def test_count() -> None:
    check_count(limits.STORE_KEYS, "a")
    with pytest.raises(FormatError, match="more files"):
        check_count(limits.STORE_KEYS + 1, "a")
