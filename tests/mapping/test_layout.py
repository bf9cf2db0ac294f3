from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refmaker.conventions.view import Variable
from refmaker.errors import RefmakerError, Unsupported
from refmaker.mapping.build import BuildOptions, build_array
from refmaker.mapping.chunks import encode_text, read_ranges
from refmaker.mapping.layout import split_rows
from refmaker.model import (
    Chunked,
    ChunkIndex,
    Compact,
    Contiguous,
    Dataset,
    Dataspace,
    External,
    ExternalSegment,
    FillValue,
    Filter,
    FixedPoint,
    Storage,
    Virtual,
)
from refmaker.window import MissingBytes

I4 = FixedPoint(4, "<", True, 0, 32)
DEFLATE = Filter(1, "deflate", True, (4,))
SHUFFLE = Filter(2, "shuffle", True, (4,))


def index(*rows: tuple[int, int, int, int]) -> ChunkIndex:
    columns = list(zip(*rows, strict=True)) if rows else [(), (), (), ()]
    return ChunkIndex(*(np.array(c, t) for c, t in zip(columns, ("i8", "u8", "u8", "u4"), strict=True)))


def build(
    storage: Storage,
    shape: tuple[int, ...],
    *,
    filters: tuple[Filter, ...] = (),
    file: bytes = b"",
    shown: tuple[int, ...] | None = None,
    kind: Any = "simple",
    **options: Any,
) -> Any:
    space = Dataspace(kind, shape, shape)
    dataset = Dataset("/v", 1, space, I4, filters, FillValue(), storage)
    names = tuple(f"d{i}" for i in range(len(shape)))
    variable = Variable("v", "/v", dataset, names, shape if shown is None else shown, {})

    def read(offset: int, size: int) -> bytes:
        assert offset + size <= len(file)
        return file[offset : offset + size]

    return build_array(variable, read=read, options=BuildOptions(**options), target=3)


def rows(array: Any) -> list[tuple[int, int, int]]:
    r = array.references
    assert (r.target == 3).all()
    return list(zip(r.cell.tolist(), r.offset.tolist(), r.size.tolist(), strict=True))


def test_contiguous() -> None:
    array, status, need, notes = build(Contiguous(100, 24), (2, 3))
    assert (status, need, notes) == ("mapped", False, [])
    assert rows(array) == [(0, 100, 24)]
    assert array.metadata.document["chunks"] == [2, 3]
    assert array.attributes == {"_ARRAY_DIMENSIONS": ["d0", "d1"]}


def test_scalar() -> None:
    array = build(Contiguous(100, 4), (), kind="scalar")[0]
    assert (array.grid, rows(array), array.metadata.document["chunks"]) == ((), [(0, 100, 4)], [])


def test_large_contiguous_blocks_are_split_on_whole_rows() -> None:
    array = build(Contiguous(100, 4 * 12 * 10), (12, 10), subchunk_size=4 * 10 * 5)[0]
    assert array.metadata.document["chunks"] == [4, 10]
    assert rows(array) == [(0, 100, 160), (1, 260, 160), (2, 420, 160)]


@pytest.mark.parametrize(
    ("shape", "limit", "chunks"),
    [
        ((12, 10), 10**6, (12, 10)),
        ((12, 10), 39, (1, 5)),
        ((3, 12, 10), 4 * 10 * 7, (1, 6, 10)),
        ((10007, 10), 40 * 1000, (10007, 10)),
        ((10007, 1000), 40 * 1000, (1, 1000)),
        ((), 1, ()),
        ((0, 5), 1, (1, 1)),
    ],
)
def test_split_rows(shape: tuple[int, ...], limit: int, chunks: tuple[int, ...]) -> None:
    assert split_rows(shape, 4, limit) == chunks


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 12), max_size=3).map(tuple), st.integers(1, 1000))
def test_pieces_of_a_split_cover_the_block(shape: tuple[int, ...], limit: int) -> None:
    size = 4 * int(np.prod(shape, dtype="i8"))
    array = build(Contiguous(1000, size), shape, subchunk_size=limit)[0]
    found = rows(array)
    assert [cell for cell, _, _ in found] == list(range(array.cells))
    ends = np.cumsum([stored for _, _, stored in found]) + 1000
    assert [offset for _, offset, _ in found] == [1000, *ends[:-1].tolist()]
    assert sum(s for _, _, s in found) == size
    values = np.arange(size // 4).reshape(shape)
    for cell, offset, stored in found:
        where = np.unravel_index(cell, array.grid) if array.grid else ()
        part = values[tuple(slice(p * c, p * c + c) for p, c in zip(where, array.metadata.chunk_shape, strict=True))]
        assert part.ravel().tolist() == list(range((offset - 1000) // 4, (offset - 1000 + stored) // 4))


def test_compact_data_stand_in_the_manifest() -> None:
    array, status, _, _ = build(Compact(bytes(range(8))), (2,))
    assert (status, array.references.inline) == ("inlined", {0: bytes(range(8))})
    assert len(array.references.cell) == 0


def test_small_chunks_are_read_on_demand() -> None:
    storage = Chunked((2,), index((0, 0, 8, 0), (1, 8, 9, 0)))
    deflated = zlib.compress(b"")  # content does not matter: references are not decoded
    array, status, _, _ = build(
        storage, (4,), filters=(DEFLATE,), file=b"AAAAAAAA" + deflated.ljust(9, b"x"), inline_threshold=8
    )
    assert array.references.inline == {0: b"AAAAAAAA"}
    assert rows(array) == [(1, 8, 9)]
    assert status == "mapped"


def test_extents_of_zero_have_no_chunks() -> None:
    array = build(Chunked((2, 3), index()), (0, 3))[0]
    assert (array.grid, array.metadata.document["shape"], array.metadata.document["chunks"]) == ((0, 1), [0, 3], [2, 3])
    assert build(Contiguous(None, 0), (0,))[0].metadata.document["chunks"] == [1]


def test_cells_move_to_the_grid_of_a_longer_extent() -> None:
    storage = Chunked((1, 2), index((0, 100, 8, 0), (1, 200, 8, 0), (2, 300, 8, 0), (3, 400, 8, 0)))
    array = build(storage, (2, 4), shown=(2, 6))[0]
    assert array.grid == (2, 3)
    assert rows(array) == [(0, 100, 8), (1, 200, 8), (3, 300, 8), (4, 400, 8)]
    assert set(array.references.inline) == {2, 5}


def test_chunks_that_all_skip_a_filter() -> None:
    storage = Chunked((4,), index((0, 100, 16, 1), (1, 200, 16, 1)))
    array = build(storage, (8,), filters=(SHUFFLE,))[0]
    assert array.metadata.document["filters"] is None
    assert rows(array) == [(0, 100, 16), (1, 200, 16)]


def test_single_chunks_that_skip_filters_are_encoded_again() -> None:
    import numcodecs

    raw = np.arange(4, dtype="<i4").tobytes()
    storage = Chunked((4,), index((0, 100, 9, 0), (1, 200, 9, 0), (2, 0, 16, 2)))
    shuffled = bytes(numcodecs.Shuffle(4).encode(raw))
    array = build(storage, (12,), filters=(SHUFFLE, DEFLATE), file=shuffled)[0]
    assert rows(array) == [(0, 100, 9), (1, 200, 9)]
    assert zlib.decompress(array.references.inline[2]) == shuffled


def test_edge_chunks_without_filters_are_encoded_again() -> None:
    raw = np.arange(4, dtype="<i4").tobytes()
    storage = Chunked((4,), index((0, 100, 9, 0), (1, 200, 9, 0), (2, 0, 16, 0)), edge_unfiltered=True)
    array = build(storage, (10,), filters=(DEFLATE,), file=raw)[0]
    assert rows(array) == [(0, 100, 9), (1, 200, 9)]
    assert zlib.decompress(array.references.inline[2]) == raw


@pytest.mark.parametrize(
    ("storage", "shape", "filters", "why"),
    [
        (Contiguous(0, 7), (2,), (), "7 bytes"),
        (Contiguous(0, 8), (2,), (DEFLATE,), "not chunked"),
        (Compact(b"1234567"), (2,), (), "7 bytes"),
        (Chunked((2,), index((0, 0, 7, 0))), (2,), (), "7 bytes instead of 8"),
        (Chunked((2,), index((0, 0, 3, 0))), (2,), (Filter(3, "", False, ()),), "checksum"),
        (Chunked((2,), index((0, 0, 11, 0))), (2,), (Filter(3, "", False, ()),), "7 bytes instead of 8"),
        (Chunked((2, 2), index((0, 0, 8, 0))), (2,), (), "chunks of shape"),
        (Chunked((0,), index((0, 0, 8, 0))), (2,), (), "chunks of shape"),
        (External((ExternalSegment("x", 0, None),)), (2,), (), "other files"),
        (Virtual(0, 0), (2,), (), "other files"),
    ],
)
def test_refused(storage: Storage, shape: tuple[int, ...], filters: tuple[Filter, ...], why: str) -> None:
    with pytest.raises(Unsupported, match=why):
        build(storage, shape, filters=filters)


def test_null_dataspace() -> None:
    with pytest.raises(Unsupported, match="null"):
        build(Contiguous(None, 0), (), kind="null")


def test_codecs_of_a_dataset_without_chunks_do_not_matter() -> None:
    array = build(Chunked((2,), index()), (4,), filters=(Filter(4, "szip", True, ()),))[0]
    assert set(array.references.inline) == {0, 1}


def test_storage_that_was_never_allocated_is_compressed() -> None:
    array, status, _, _ = build(Contiguous(None, 4 << 22), (1 << 22,))
    assert status == "mapped"
    assert array.metadata.document["compressor"]["id"] == "zlib"
    assert sum(map(len, array.references.inline.values())) < 1 << 20
    assert all(zlib.decompress(c) == bytes(4 << 20) for c in array.references.inline.values())
    huge, _, _, notes = build(Contiguous(None, 4 << 50), (1 << 50,))
    assert (len(huge.references), huge.metadata.document["fill_value"]) == (0, 0)
    assert notes


def test_damaged_chunks_are_an_error_of_ours() -> None:
    storage = Chunked((4,), index((0, 100, 9, 0), (1, 200, 9, 0), (2, 0, 16, 2)))
    with pytest.raises(RefmakerError):
        build(storage, (12,), filters=(SHUFFLE, DEFLATE), file=b"x" * 15 + b"y", inline_limit=10)
    storage = Chunked((4,), index((0, 100, 9, 0), (1, 200, 9, 0), (2, 0, 8, 2)))
    with pytest.raises(RefmakerError):
        build(storage, (12,), filters=(SHUFFLE, DEFLATE), file=b"x" * 8)


def test_what_is_missing_is_missed_together() -> None:
    def read(offset: int, size: int) -> bytes:
        if offset >= 10:
            raise MissingBytes(np.array([offset]), np.array([size]))
        return b"x" * size

    assert read_ranges(read, [0, 1], [1, 2]) == [b"x", b"xx"]
    with pytest.raises(MissingBytes) as missed:
        read_ranges(read, [0, 10, 20], [1, 2, 3])
    assert missed.value.addresses.tolist() == [10, 20]
    assert missed.value.sizes.tolist() == [2, 3]


def test_text_is_that_of_numcodecs() -> None:
    import numcodecs

    items = ["a", "", "ü" * 300]
    encoded = encode_text([x.encode() or None for x in items])
    assert encoded == bytes(numcodecs.VLenUTF8().encode(np.array(items, object)))
    with pytest.raises(Unsupported, match="string 1 is not valid UTF-8"):
        encode_text([b"a", b"caf\xe9"])
