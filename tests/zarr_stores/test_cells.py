"""Which chunk a key is."""

from __future__ import annotations

import pytest

from refmaker.zarr.chunk_keys import ChunkLayout
from refmaker.zarr_stores.cells import by_array, cell_of, is_spelt_otherwise, pattern_of


@pytest.mark.parametrize(
    ("layout", "tail", "cell"),
    [
        (ChunkLayout((3, 4), "", ".", "0"), "2.3", 11),
        (ChunkLayout((3, 4), "", ".", "0"), "3.0", None),
        (ChunkLayout((3, 4), "c/", "/", "c"), "c/1/0", 4),
        (ChunkLayout((), "c/", "/", "c"), "c", 0),
        (ChunkLayout((), "", ".", "0"), "0", 0),
    ],
)
def test_cells(layout: ChunkLayout, tail: str, cell: int | None) -> None:
    match = pattern_of(layout).fullmatch(tail)
    assert match is not None
    assert cell_of(match, layout) == cell
    if cell is not None:
        assert layout.name(cell) == tail


@pytest.mark.parametrize("tail", ["01.0", "1/0", "1", "1.0.0", "-1.0", "a.0", "1.0 ", "c/1/0", "\u0661.0"])
def test_other_spellings(tail: str) -> None:
    assert pattern_of(ChunkLayout((3, 4), "", ".", "0")).fullmatch(tail) is None


def test_is_spelt_otherwise() -> None:
    assert is_spelt_otherwise("c/0/1")
    assert not is_spelt_otherwise("README.md")


def test_by_array() -> None:
    assert by_array(["0.0", "c/0"], {""}) == {"": ["0.0", "c/0"]}
    assert by_array(["g/a/c/0/0", "g/b", "a/0"], {"g/a", "g/a2"}) == {"g/a": ["g/a/c/0/0"], "g/a2": []}
