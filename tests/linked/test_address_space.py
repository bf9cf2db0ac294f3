from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refmaker.errors import SourceError, TruncatedError
from refmaker.linked.address_space import FILE_BITS, AddressSpace, file_of
from refmaker.manifest.references import References
from refmaker.sources.open import open_source
from refmaker.window import MissingBytes


@pytest.fixture
def space(tmp_path: Path) -> AddressSpace:
    for name, data in (("main", b"0123456789"), ("other", b"abcdef")):
        (tmp_path / name).write_bytes(data)
    return AddressSpace(open_source(str(tmp_path / "main")))


def _references(*rows: tuple[int, int, int]) -> References:
    cell, offset, size = zip(*rows, strict=True)
    return References(
        np.array(cell), np.broadcast_to(np.uint32(0), (len(rows),)), np.array(offset, "u8"), np.array(size, "u8")
    )


def test_addresses(space: AddressSpace, tmp_path: Path) -> None:
    number = space.open(str(tmp_path / "other"))
    assert number == 1
    assert space.open(str(tmp_path / "." / "other")) == 1
    assert space.open(str(tmp_path / "none")) is None
    assert space.open(str(tmp_path / "main" / "below")) is None
    base = number << FILE_BITS
    assert (file_of(base + 3), file_of(9)) == (1, 0)
    kept = space.keep(b"kept")
    assert [space.read(a, 3) for a in (4, base + 2, kept + 1)] == [b"456", b"cde", b"ept"]
    with pytest.raises(SourceError, match="directory"):
        space.open(str(tmp_path))


def test_settle(space: AddressSpace, tmp_path: Path) -> None:
    space.open(str(tmp_path / "other"))
    base, kept = 1 << FILE_BITS, space.keep(b"kept")
    settled = space.settle(_references((0, 2, 4), (3, base + 1, 5), (4, kept, 4), (7, kept + 1, 2), (9, base, 6)))
    assert settled.cell.tolist() == [0, 3, 9]
    assert settled.target.tolist() == [0, 1, 1]
    assert settled.offset.tolist() == [2, 1, 0]
    assert settled.inline == {4: b"kept", 7: b"ep"}


def test_one_file_needs_no_settling(space: AddressSpace) -> None:
    references = _references((0, 2, 4))
    assert space.settle(references) is references


@pytest.mark.parametrize("row", [(1 << FILE_BITS | 3, 4), (2 << FILE_BITS, 1), (((1 << 15) - 1) << FILE_BITS, 5)])
def test_references_lie_within_their_files(space: AddressSpace, tmp_path: Path, row: tuple[int, int]) -> None:
    space.open(str(tmp_path / "other"))
    space.keep(b"kept")
    with pytest.raises(TruncatedError):
        space.settle(_references((0, *row)))


class _Remote:
    """A source that holds nothing until it is fetched."""

    def __init__(self, url: str) -> None:
        from refmaker.file_version import FileVersion

        self.url, self.version = url, FileVersion(100)
        self.fetched: list[tuple[int, int]] = []
        self.window: Any = self
        self.size = 100

    def at(self, address: int, size: int) -> tuple[bytes, int]:
        if (address, size) not in self.fetched:
            raise MissingBytes(np.array([address]), np.array([size]))
        return bytes(range(100)), address

    def fetch(self, missing: list[MissingBytes]) -> None:
        self.fetched += [(int(a), int(n)) for m in missing for a, n in zip(m.addresses, m.sizes, strict=True)]

    def check_unchanged(self) -> None:
        raise SourceError("checked", source=self.url)


def test_what_is_missing_is_fetched_from_each_file(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = {url: _Remote(url) for url in ("http://host/a", "http://host/b", "http://host/c")}
    monkeypatch.setattr("refmaker.linked.address_space.open_source", lambda url, options, memory_budget: sources[url])
    space = AddressSpace(sources["http://host/a"])
    space.look_up(["http://host/b", "http://host/c"])
    assert [space.open(url) for url in sources] == [0, 1, 2]
    missed = []
    for address in (5, (1 << FILE_BITS) + 6, (2 << FILE_BITS) + 7, (2 << FILE_BITS) + 9):
        with pytest.raises(MissingBytes) as caught:
            space.read(address, 2)
        missed.append(caught.value)
    space.fetch(missed)
    assert [s.fetched for s in sources.values()] == [[(5, 2)], [(6, 2)], [(7, 2), (9, 2)]]
    assert space.read((2 << FILE_BITS) + 9, 2) == bytes([9, 10])
    with pytest.raises(SourceError, match="checked"):
        space.check_unchanged()


def _error(cause: BaseException, root: BaseException | None = None) -> SourceError:
    cause.__cause__ = root
    error = SourceError("cannot be reached")
    error.__cause__ = cause
    return error


class _Answer(Exception):
    def __init__(self, **values: Any) -> None:
        super().__init__()
        self.__dict__ |= values


@pytest.mark.parametrize(
    ("cause", "root", "missing"),
    [
        (FileNotFoundError(), None, True),
        (FileNotFoundError(), _Answer(status=404), True),
        (FileNotFoundError(), _Answer(status=410), True),
        (FileNotFoundError(), _Answer(status=403), False),
        (FileNotFoundError(), _Answer(status=500), False),
        (FileNotFoundError(), TimeoutError(), False),
        (FileNotFoundError(), _Answer(response={"Error": {"Code": "NoSuchKey"}}), True),
        (FileNotFoundError(), _Answer(response={"Error": {"Code": "AccessDenied"}}), False),
        (PermissionError(), None, False),
        (OSError("no route"), None, False),
    ],
)
def test_missing_or_out_of_reach(
    monkeypatch: pytest.MonkeyPatch, cause: BaseException, root: BaseException | None, missing: bool
) -> None:
    """fsspec's filesystems say `FileNotFoundError` for much that is something else."""

    def fail(url: str, options: Any, memory_budget: Any) -> None:
        raise _error(cause, root)

    monkeypatch.setattr("refmaker.linked.address_space.open_source", fail)
    space = AddressSpace(_Remote("http://host/a"))
    if missing:
        assert space.open("http://host/b") is None
    else:
        with pytest.raises(SourceError):
            space.open("http://host/b")
