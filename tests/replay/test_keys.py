from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refmaker.errors import ManifestError
from refmaker.replay.keys import ChunkKeyEncoding, cell_of, names_of
from refmaker.zarr.chunk_keys import ChunkLayout

V2 = ChunkLayout((3, 4), "", ".", "0")
V2_NESTED = ChunkLayout((3, 4), "", "/", "0")
V3 = ChunkLayout((3, 4), "c/", "/", "c")
V3_DOTS = ChunkLayout((3, 4), "c.", ".", "c")


@given(
    grid=st.lists(st.integers(1, 5), max_size=4).map(tuple),
    spelling=st.sampled_from([("", ".", "0"), ("", "/", "0"), ("c/", "/", "c"), ("c.", ".", "c")]),
)
def test_every_cell_has_one_name(grid: tuple[int, ...], spelling: tuple[str, str, str]) -> None:
    layout = ChunkLayout(grid, *spelling)
    cells = np.arange(np.prod(grid, dtype=int))
    names = names_of(layout, cells)
    assert names == [layout.name(int(cell)) for cell in cells]
    assert [cell_of(layout, name) for name in names] == cells.tolist()


@pytest.mark.parametrize("layout", [V2, V2_NESTED, V3, V3_DOTS])
@pytest.mark.parametrize("indices", [("3", "0"), ("0", "4"), ("9" * 19, "0"), ("0", "9" * 5000), (str(2**64), "1")])
def test_outside_the_grid(layout: ChunkLayout, indices: tuple[str, str]) -> None:
    assert cell_of(layout, layout.head + layout.separator.join(indices)) is None


@pytest.mark.parametrize(
    "index", ["00", "01", "+1", "-1", "-0", " 1", "1 ", "1_0", "", "1e0", "١", "²", "0x1", "c", "1\n"]
)
@pytest.mark.parametrize("layout", [V2, V2_NESTED, V3, V3_DOTS])
def test_numbers_are_canonical(layout: ChunkLayout, index: str) -> None:
    with pytest.raises(ManifestError, match="not a chunk key"):
        cell_of(layout, f"{layout.head}0{layout.separator}{index}")


@pytest.mark.parametrize(
    ("layout", "name"),
    [
        (V2, "0/0"),
        (V2, "0"),
        (V2, "0.0.0"),
        (V2, "c.0.0"),
        (V2, ""),
        (V2_NESTED, "0.0"),
        (V3, "0/0"),
        (V3, "c.0.0"),
        (V3, "c"),
        (V3, "c0/0"),
        (V3_DOTS, "c/0/0"),
        (ChunkLayout((), "", ".", "0"), "1"),
        (ChunkLayout((), "", ".", "0"), ""),
        (ChunkLayout((), "c/", "/", "c"), "0"),
        (ChunkLayout((), "c/", "/", "c"), "c/0"),
    ],
)
def test_spellings_of_others(layout: ChunkLayout, name: str) -> None:
    with pytest.raises(ManifestError, match="expected"):
        cell_of(layout, name)


@given(
    layout=st.sampled_from(
        [V2, V2_NESTED, V3, V3_DOTS, ChunkLayout((), "", ".", "0"), ChunkLayout((), "c/", "/", "c")]
    ),
    name=st.one_of(
        st.text(alphabet="0123459./c+ \n١", max_size=7),
        st.sampled_from(["0.0", "2.3", "2/3", "c/2/3", "c.2.3", "0", "c"]),
    ),
)
def test_the_quick_way_is_the_same(layout: ChunkLayout, name: str) -> None:
    try:
        expected = cell_of(layout, name)
    except ManifestError:
        expected = None
    assert ChunkKeyEncoding(layout).cell(name) == expected


@pytest.mark.parametrize("name", ["9" * 19 + ".0", "9" * 20 + ".0", "0." + "9" * 5000, "01.0", "3.0", "0.4"])
def test_the_quick_way_outside_the_grid(name: str) -> None:
    assert ChunkKeyEncoding(V2).cell(name) is None


def test_empty_grid_has_no_cells() -> None:
    assert cell_of(ChunkLayout((0, 3), "", ".", "0"), "0.0") is None


def test_names_of_no_cells() -> None:
    assert names_of(V2, np.empty(0, "i8")) == []
    assert names_of(ChunkLayout((0,), "", ".", "0"), np.empty(0, "i8")) == []
