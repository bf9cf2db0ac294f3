from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refmaker.kerchunk.json_writer import iter_json
from refmaker.manifest.manifest import Manifest, Target
from refmaker.replay.listing import Entry, Listing
from refmaker.replay.lookup import Lookup
from tests.replay.scenes import array, manifest, references, scene


def walked(listing: Listing, path: str = "") -> dict[str, int | None]:
    """Return all files and their sizes, found folder by folder."""
    out: dict[str, int | None] = {}
    for entry in listing.entries(path):
        full = f"{path}/{entry.name}" if path else entry.name
        assert listing.entry(full) == Entry(full, entry.size, entry.folder)
        assert listing.holds(full, folder=entry.folder)
        assert not listing.holds(full, folder=not entry.folder)
        out |= walked(listing, full) if entry.folder else {full: entry.size}
    return out


def written(held: Manifest) -> set[str]:
    return set(json.loads(b"".join(iter_json(held)))["refs"]) - {".zmetadata"}  # what it says, the others say


@settings(max_examples=60)
@given(st.data())
def test_lists_the_keys_that_are_written(data: st.DataObject) -> None:
    zarr_format = data.draw(st.sampled_from([2, 3]))
    arrays = {}
    for path in data.draw(st.lists(st.sampled_from(["a", "b", "g/a", "g/b", "g/h/0", "k/c"]), unique=True)):
        grid = data.draw(st.lists(st.integers(0, 3), max_size=3).map(tuple))
        cells = range(int(math.prod(grid)))
        kinds = data.draw(st.lists(st.sampled_from("rwi-"), min_size=len(cells), max_size=len(cells)))
        held = references(
            {cell: (0, 7, cell) for cell, kind in zip(cells, kinds, strict=True) if kind == "r"},
            {cell: b"x" * cell for cell, kind in zip(cells, kinds, strict=True) if kind == "i"},
            {cell: cell % 2 for cell, kind in zip(cells, kinds, strict=True) if kind == "w"},
        )
        chunks = tuple(2 for _ in grid)
        shape = tuple(2 * extent for extent in grid)
        spelling = {"separator": data.draw(st.sampled_from([".", "/", None]))}
        if zarr_format == 3:
            spelling["encoding"] = data.draw(st.sampled_from(["default", "v2"]))
        arrays[path] = array(shape, chunks, held, zarr_format=zarr_format, **spelling)
    held = manifest(arrays, [Target("u", size=1000), Target("v")], extra={"n/notes": b"12", "top": b""})
    held.zarr_format = zarr_format
    lookup = Lookup(held)
    files = walked(Listing(lookup))
    assert set(files) == written(held)
    for key, size in files.items():
        entry = lookup.find(key)
        assert size == (len(entry) if isinstance(entry, bytes) else entry.size)


def test_a_folder_of_arrays_does_not_look_at_chunks() -> None:
    held = scene("u")
    held.arrays["g/x"].references.cell = None  # type: ignore[assignment]
    assert [e.name for e in Listing(Lookup(held)).entries("g")] == [".zgroup", ".zattrs", "x"]


@pytest.mark.parametrize("path", ["y", "g/bad", "g/x/0.0", "g/x/0", "g/x/c", "g/x/0.0/0"])
def test_no_such_folder(path: str) -> None:
    with pytest.raises(FileNotFoundError):
        Listing(Lookup(scene("u"))).entries(path)


@pytest.mark.parametrize("path", ["t/3", "t/00", "t/0/0/0", "t/1", "t/-1", "t/x"])
def test_no_such_folder_of_chunks(path: str) -> None:
    held = manifest(
        {"t": array((3, 2), (1, 1), references({0: (0, 0, 4), 5: (0, 0, 4)}), separator="/")}, [Target("u")]
    )
    listing = Listing(Lookup(held))
    assert listing.entries("t/2") == [Entry("1", 4)]
    with pytest.raises(FileNotFoundError):
        listing.entries(path)


def test_refused_and_malformed_are_not_there() -> None:
    listing = Listing(Lookup(scene("u")))
    for path in ("g/bad", "g/bad/.zarray", "g/x/junk", "g/x/1.0", "nowhere"):
        assert not listing.holds(path, folder=False)
        assert not listing.holds(path, folder=True)
