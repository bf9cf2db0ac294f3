"""Which combinations of layout, index, filters, datatype, byte order, missing and masked chunks the tests read.

    python -m tests.covered                     # the tests that compare values with h5py, about two minutes
    python -m tests.covered tests/hdf5/test_random_files.py

The tests run as they are; every dataset whose storage the walker reads in a test that passes is counted. A row is a
storage and its filters, a column a datatype and its byte order (`<`, `>`, `|` where there is none). `m`: with missing
chunks, or nothing allocated; `k`: with filter masks; `e`: with partial edge chunks stored unfiltered.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from refmaker.hdf5 import walk
from refmaker.hdf5.data_layout import ChunkedLayout
from refmaker.hdf5.dataset import DatasetHeader
from refmaker.model import ArrayType, Chunked, Compact, Complex, Contiguous, Enumeration, External, Filter, Storage

__all__ = ["Recorder", "main", "table"]

TESTS = (
    "tests/hdf5/test_differential.py",
    "tests/hdf5/test_chunk_index.py",
    "tests/hdf5/test_random_files.py",
    "tests/linked",
    "tests/zarr",
    "tests/conventions",
)
INDEXES = ("B-tree v1", "single chunk", "implicit", "fixed array", "extensible array", "B-tree v2")
FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32", 4: "szip", 5: "nbit", 6: "scaleoffset", 32000: "lzf"}

Row = tuple[str, str]
Column = str


class Recorder:
    """A pytest plug-in that counts what the walker reads in tests that pass."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[Row, Column]] = Counter()
        self.marks: defaultdict[tuple[Row, Column], set[str]] = defaultdict(set)
        self.failed = 0
        self._seen: list[tuple[Row, Column, str]] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: Any) -> Iterator[None]:
        """Count while a test runs, and keep the count if it passes."""
        original, self._seen = walk.read_storage, []

        def read_storage(file: Any, header: DatasetHeader) -> Storage:
            storage = original(file, header)
            self._seen.append((_row(header, storage), _column(header.datatype), _marks(header, storage)))
            return storage

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(walk, "read_storage", read_storage)
            yield
        for row, column, marks in self._seen:
            self.counts[row, column] += 1
            self.marks[row, column].update(marks)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Count tests that fail."""
        self.failed += bool(report.failed)


def _row(header: DatasetHeader, storage: Storage) -> Row:
    filters = "+".join(FILTERS.get(f.id, str(f.id)) for f in header.filters) or "-"
    if isinstance(header.layout, ChunkedLayout):
        return f"chunked, layout {header.layout.version}, {INDEXES[header.layout.index]}", _short(
            header.filters, filters
        )
    kinds = {Compact: "compact", Contiguous: "contiguous", External: "external"}
    return kinds.get(type(storage), "virtual"), _short(header.filters, filters)


def _short(filters: tuple[Filter, ...], names: str) -> str:
    """Return up to two filters in their order, more as a set: a row for every order would be too many."""
    return names if len(filters) <= 2 else "+".join(sorted(set(names.split("+")))) + " (3 or more)"


def _column(datatype: Any) -> Column:
    name, inner = type(datatype).__name__, datatype
    while isinstance(inner, ArrayType | Enumeration | Complex):
        inner = inner.base
    return f"{name}{getattr(inner, 'byte_order', '|')}"


def _marks(header: DatasetHeader, storage: Storage) -> str:
    if isinstance(storage, Contiguous):
        return "m" if storage.offset is None else ""
    if not isinstance(storage, Chunked):
        return ""
    grid = 1
    for extent, chunk in zip(header.dataspace.shape, storage.chunk_shape, strict=True):
        grid *= -(-extent // chunk)
    marks = "m" if len(storage.index) < grid else ""
    return marks + "k" * bool(storage.index.filter_mask.any()) + "e" * storage.edge_unfiltered


def table(recorder: Recorder) -> str:
    """Write the counts as a table, and what pairs of them never came together."""
    rows, columns = sorted({row for row, _ in recorder.counts}), sorted({column for _, column in recorder.counts})
    lines = ["| storage | filters | " + " | ".join(columns) + " |", "|" + "---|" * (len(columns) + 2)]
    for row in rows:
        cells = [
            f"{count}{''.join(sorted(recorder.marks[row, column]))}" if (count := recorder.counts[row, column]) else ""
            for column in columns
        ]
        lines.append("| " + " | ".join([*row, *cells]) + " |")
    return "\n".join([*lines, "", *_summary(recorder)])


def _summary(recorder: Recorder) -> Iterator[str]:
    storages = sorted({row[0] for row, _ in recorder.counts})
    names = [*FILTERS.values()]
    yield f"{sum(recorder.counts.values())} datasets in {len(recorder.counts)} combinations"
    for storage in storages:
        cells = [(row, column) for row, column in recorder.counts if row[0] == storage]
        filters = {name for row, _ in cells for name in row[1].removesuffix(" (3 or more)").split("+")}
        marks = set().union(*(recorder.marks[cell] for cell in cells))
        wanted = {"m": "missing chunks", "k": "filter masks", "e": "unfiltered edges"}
        lacks = [name for name in names if name not in filters] + [name for m, name in wanted.items() if m not in marks]
        kinds = len({column for _, column in cells})
        yield f"{storage}: {kinds} datatypes; without {', '.join(lacks) or 'nothing'}"


def main(arguments: list[str]) -> int:
    """Run tests and print the table."""
    recorder = Recorder()
    status = pytest.main(["-q", "--no-header", "-p", "no:cacheprovider", *(arguments or TESTS)], plugins=[recorder])
    sys.stdout.write(table(recorder) + "\n")
    return int(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
