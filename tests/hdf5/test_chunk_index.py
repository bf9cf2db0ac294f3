"""Every chunk index that libhdf5 writes, compared chunk by chunk with what libhdf5 reads from it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from refmaker.errors import FormatError, TruncatedError, Unsupported
from refmaker.hdf5.budget import MeteredWindow, reading_budget
from refmaker.hdf5.chunk_index import read_chunk_index
from refmaker.hdf5.data_layout import (
    BTREE_V1,
    BTREE_V2,
    EXTENSIBLE_ARRAY,
    FIXED_ARRAY,
    IMPLICIT,
    SINGLE,
    ChunkedLayout,
)
from refmaker.hdf5.sizes import Sizes
from refmaker.hdf5.walk import Walk
from refmaker.model import Dataspace
from refmaker.sources.memory import MemoryWindow
from tests.hdf5.libhdf5 import leave_edges_unfiltered, set_istore_k
from tests.hdf5.making import LIBVERS, filled, low_level, made, opened
from tests.hdf5.walking import assert_chunks_are, plain, tree_in_rounds, tree_of

NEW = ("v110", "v112", "v114", "latest")


def check(data: bytes, name: str = "x", *, page_bits: int = 8) -> int:
    """Compare the index of one dataset with libhdf5's, and the walk over pages with the one over memory."""
    tree = tree_of(data)
    assert tree.refusals == {}
    with opened(data) as file:
        count = assert_chunks_are(data, tree.datasets[f"/{name}"], file[name])
    paged, _ = tree_in_rounds(data, page_bits)
    assert plain(paged) == plain(tree)
    return count


def layout_of(data: bytes, name: str = "x") -> ChunkedLayout:
    walk = Walk(MemoryWindow(data), 0)
    todo = walk.start()
    while todo:
        todo += todo.pop()()
    layouts = [found.dataset.layout for found in walk.objects.values() if found.dataset is not None]
    (layout,) = layouts
    assert isinstance(layout, ChunkedLayout)
    return layout


@pytest.mark.parametrize("libver", LIBVERS)
@pytest.mark.parametrize("options", [{}, {"compression": "gzip", "shuffle": True}, {"fletcher32": True}])
@pytest.mark.parametrize("max_shape", [None, (20, 12), (None, 12), (10, None), (None, None)])
def test_every_version(libver, options, max_shape):
    def build(file):
        filled(file.create_dataset("x", (10, 10), "<i4", chunks=(3, 4), maxshape=max_shape, **options))

    data = made(build, libver=libver)
    assert check(data) == 12
    if libver in ("earliest", "v108"):
        assert layout_of(data).index == BTREE_V1
    elif max_shape is None or None not in max_shape:
        assert layout_of(data).index == FIXED_ARRAY
    else:
        assert layout_of(data).index == (EXTENSIBLE_ARRAY if max_shape.count(None) == 1 else BTREE_V2)


@pytest.mark.parametrize("libver", LIBVERS)
def test_sparse(libver):
    """Absent chunks are absent rows, in every index."""
    for max_shape in (None, (None, 40), (40, None), (None, None)):

        def build(file, max_shape=max_shape):
            dataset = file.create_dataset("x", (40, 40), "<u2", chunks=(4, 8), maxshape=max_shape)
            for i, j in ((0, 0), (17, 3), (39, 39), (20, 20)):
                dataset[i, j] = i + j

        assert check(made(build, libver=libver)) == 4


@pytest.mark.parametrize("libver", LIBVERS)
def test_no_chunk_at_all(libver):
    for max_shape in (None, (None, 40), (None, None)):
        data = made(
            lambda f, m=max_shape: f.create_dataset("x", (40, 40), "<u2", chunks=(4, 8), maxshape=m), libver=libver
        )
        assert check(data) == 0


@pytest.mark.parametrize("libver", NEW)
@pytest.mark.parametrize("gzip", [False, True])
def test_single_chunk(libver, gzip):
    options = (lambda p: p.set_deflate(4)) if gzip else None
    data = made(lambda f: filled(low_level(f, "x", (5, 7), chunks=(5, 7), options=options)), libver=libver)
    layout = layout_of(data)
    assert layout.index == SINGLE
    assert bool(layout.parameters) == gzip
    assert check(data) == 1


@pytest.mark.parametrize("gzip", [False, True])
def test_single_chunk_absent(gzip):
    options = (lambda p: p.set_deflate(4)) if gzip else None
    data = made(lambda f: low_level(f, "x", (5, 7), chunks=(5, 7), options=options), libver="latest")
    assert layout_of(data).index == SINGLE
    assert check(data) == 0


def test_single_chunk_with_its_filter_skipped():
    def build(file):
        dataset = low_level(file, "x", (5,), chunks=(5,), options=lambda p: p.set_deflate(4))
        dataset.id.write_direct_chunk((0,), np.arange(5, dtype="<i4").tobytes(), 1)

    data = made(build, libver="latest")
    assert check(data) == 1
    assert tree_of(data).datasets["/x"].storage.index.filter_mask.tolist() == [1]


@pytest.mark.parametrize("libver", NEW)
@pytest.mark.parametrize(
    ("shape", "max_shape", "chunks"),
    [
        ((10, 10), None, (3, 4)),
        ((5,), None, (2,)),
        ((4, 5, 6), (8, 10, 12), (2, 2, 2)),
        ((4, 5), (11, 23), (3, 2)),
    ],
)
def test_implicit(libver, shape, max_shape, chunks):
    """Early allocation without filters needs no index; the chunks of the maximum extent are all there."""
    data = made(
        lambda f: filled(low_level(f, "x", shape, max_shape=max_shape, chunks=chunks, early=True)), libver=libver
    )
    assert layout_of(data).index == IMPLICIT
    assert check(data) == int(np.prod([-(-n // c) for n, c in zip(shape, chunks, strict=True)]))


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("gzip", [False, True])
@pytest.mark.parametrize("count", [1023, 1024, 1025, 2500])
def test_fixed_array_pages(early, gzip, count):
    """Data blocks of more than 1024 elements are paged."""
    options = (lambda p: p.set_deflate(1)) if gzip else None
    data = made(
        lambda f: filled(low_level(f, "x", (count,), "u1", chunks=(1,), early=early, options=options)), libver="v110"
    )
    assert layout_of(data).index == (IMPLICIT if early and not gzip else FIXED_ARRAY)
    tree = tree_of(data)
    index = tree.datasets["/x"].storage.index
    assert index.cell.tolist() == list(range(count))
    with opened(data) as file:
        for cell in (0, 1, 1022, count - 1):
            info = file["x"].id.get_chunk_info_by_coord((cell,))
            assert (int(index.offset[cell]), int(index.size[cell])) == (info.byte_offset, info.size)
    assert plain(tree_in_rounds(data, 9)[0]) == plain(tree)


def test_fixed_array_pages_never_written():
    """The bitmap tells which pages are there."""

    def build(file):
        dataset = low_level(file, "x", (5000,), "u1", chunks=(1,))
        for cell in (2, 2048, 2100, 4999):
            dataset[cell] = 1

    data = made(build, libver="v110")
    assert tree_of(data).datasets["/x"].storage.index.cell.tolist() == [2, 2048, 2100, 4999]
    assert check(data) == 4


@pytest.mark.parametrize("gzip", [False, True])
@pytest.mark.parametrize("unlimited", [0, 1, 2])
def test_extensible_array(gzip, unlimited):
    """Index block, data blocks and super blocks, wherever the unlimited dimension stands."""
    shape = [2, 3, 4]
    shape[unlimited] = 60
    max_shape = tuple(None if axis == unlimited else n + 1 for axis, n in enumerate(shape))
    options = (lambda p: p.set_deflate(1)) if gzip else None
    data = made(
        lambda f: filled(
            low_level(f, "x", tuple(shape), "<u2", max_shape=max_shape, chunks=(1, 1, 1), options=options)
        ),
        libver="v110",
    )
    assert layout_of(data).index == EXTENSIBLE_ARRAY
    assert check(data, page_bits=10) == int(np.prod(shape))


@pytest.mark.parametrize("count", [4, 5, 20, 21, 35, 100, 1000, 9000])
def test_extensible_array_sizes(count):
    """4 elements in the index block, then data blocks of 16, 16, 32, 32, … elements; pages from 1024 elements on."""
    data = made(lambda f: filled(low_level(f, "x", (count,), "u1", max_shape=(None,), chunks=(1,))), libver="v110")
    tree = tree_of(data)
    index = tree.datasets["/x"].storage.index
    assert index.cell.tolist() == list(range(count))
    with opened(data) as file:
        for cell in {0, count // 2, count - 1, *range(min(count, 40))}:
            assert int(index.offset[cell]) == file["x"].id.get_chunk_info_by_coord((cell,)).byte_offset
    assert plain(tree_in_rounds(data, 12)[0]) == plain(tree)


def test_extensible_array_far_out():
    """Super blocks with paged data blocks, of which only some pages were written."""
    cells = [3, 50, 5000, 40_000, 70_000, 200_000, 1_000_000]

    def build(file):
        dataset = low_level(file, "x", (1_000_001,), "u1", max_shape=(None,), chunks=(1,))
        for cell in cells:
            dataset[cell] = 1

    data = made(build, libver="v110")
    index = tree_of(data).datasets["/x"].storage.index
    assert index.cell.tolist() == cells
    with opened(data) as file:
        for cell, offset in zip(cells, index.offset.tolist(), strict=True):
            assert file["x"].id.get_chunk_info_by_coord((cell,)).byte_offset == offset


@pytest.mark.parametrize("gzip", [False, True])
def test_btree_v2_of_two_depths_and_more(gzip):
    options = (lambda p: p.set_deflate(1)) if gzip else None
    data = made(
        lambda f: filled(low_level(f, "x", (90, 80), "u1", max_shape=(None, None), chunks=(1, 1), options=options)),
        libver="v110",
    )
    assert layout_of(data).index == BTREE_V2
    depth = int.from_bytes(data[data.index(b"BTHD") + 12 :][:2], "little")
    assert depth >= 2
    tree = tree_of(data)
    index = tree.datasets["/x"].storage.index
    assert index.cell.tolist() == list(range(7200))
    with opened(data) as file:
        for cell in range(0, 7200, 37):
            info = file["x"].id.get_chunk_info_by_coord((cell // 80, cell % 80))
            assert (int(index.offset[cell]), int(index.size[cell])) == (info.byte_offset, info.size)
    assert plain(tree_in_rounds(data, 11)[0]) == plain(tree)


@pytest.mark.parametrize("k", [2, 3, 32, 100])
@pytest.mark.parametrize("libver", ["earliest", "v108"])
def test_btree_v1_of_many_levels(k, libver):
    data = made(
        lambda f: filled(low_level(f, "x", (30, 40), "u1", chunks=(1, 2))),
        libver=libver,
        fcpl=lambda p: set_istore_k(p, k),
    )
    assert layout_of(data).index == BTREE_V1
    assert check(data, page_bits=12) == 600


@pytest.mark.parametrize("libver", LIBVERS)
@pytest.mark.parametrize("max_shape", [(20, 20), (None, 20), (20, None), (None, None)])
def test_resized(libver, max_shape):
    """Chunks outside a shrunk extent are gone or left out; grown extents miss chunks."""

    def build(file):
        dataset = file.create_dataset("x", (20, 20), "<i4", chunks=(4, 6), maxshape=max_shape, compression="gzip")
        filled(dataset)
        dataset.resize((7, 9))
        dataset.resize((15, 8))

    check(made(build, libver=libver))


@pytest.mark.parametrize("libver", LIBVERS)
@pytest.mark.parametrize("max_shape", [(8,), (None,)])
def test_filter_masks(libver, max_shape):
    def build(file):
        dataset = file.create_dataset(
            "x", (8,), "<i4", chunks=(2,), maxshape=max_shape, compression="gzip", shuffle=True
        )
        for start, mask in ((0, 0), (2, 1), (4, 2), (6, 3)):
            plain_bytes = np.array([start, start + 1], "<i4").tobytes()
            dataset.id.write_direct_chunk((start,), plain_bytes, mask)

    data = made(build, libver=libver)
    assert check(data) == 4
    assert tree_of(data).datasets["/x"].storage.index.filter_mask.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("libver", NEW)
def test_edge_chunks_without_filters(libver):
    def build(file):
        creation = lambda p: (leave_edges_unfiltered(p), p.set_deflate(1))  # noqa: E731
        filled(low_level(file, "x", (5, 5), chunks=(2, 2), options=creation))

    data = made(build, libver=libver)
    assert check(data) == 9
    assert tree_of(data).datasets["/x"].storage.edge_unfiltered


@pytest.mark.parametrize("rank", [1, 2, 5, 9, 32])
@pytest.mark.parametrize("libver", ["earliest", "v110"])
def test_ranks(rank, libver):
    shape = (3,) + (1,) * (rank - 1)
    for max_shape in (None, (None,) + (1,) * (rank - 1)):
        data = made(
            lambda f, m=max_shape: filled(low_level(f, "x", shape, max_shape=m, chunks=(1,) * rank)), libver=libver
        )
        assert check(data) == 3


@pytest.mark.parametrize(("offsets", "lengths"), list(itertools.product((4, 8), (4, 8))))
@pytest.mark.parametrize("libver", ["earliest", "v110", "latest"])
@pytest.mark.parametrize("userblock", [0, 512, 2048])
def test_widths_and_user_blocks(offsets, lengths, libver, userblock):
    # libhdf5 does not find an unlimited dimension again that it wrote in 4 bytes.
    for max_shape in (None, (None, 12), (None, None)) if lengths == 8 or libver == "earliest" else (None,):
        for gzip in (None, "gzip"):

            def build(file, max_shape=max_shape, gzip=gzip):
                filled(file.create_dataset("x", (10, 10), "<i4", chunks=(3, 4), maxshape=max_shape, compression=gzip))

            data = made(build, libver=libver, offsets=offsets, lengths=lengths, userblock=userblock)
            assert check(data) == 12


def test_chunk_larger_than_the_dataset():
    for libver in LIBVERS:
        data = made(lambda f: filled(low_level(f, "x", (3,), max_shape=(None,), chunks=(10,))), libver=libver)
        assert check(data) == 1


@pytest.mark.parametrize("libver", ["earliest", "v110"])
def test_empty_extents(libver):
    for shape, max_shape in (((0,), (None,)), ((0, 4), (None, 4)), ((3, 0), (None, None))):
        data = made(
            lambda f, s=shape, m=max_shape: low_level(f, "x", s, max_shape=m, chunks=(2,) * len(s)), libver=libver
        )
        assert check(data) == 0


# What no library writes: layouts by hand.

SIZES = Sizes(8, 8)


def read(layout: ChunkedLayout, shape: tuple[int, ...], data: bytes = bytes(64), *, filtered: bool = False, **limits):
    space = Dataspace("simple", shape, limits.get("max_shape", shape))
    window = MeteredWindow(MemoryWindow(data), reading_budget(len(data)))
    return read_chunk_index(window, layout, space, filtered, 32, 0, SIZES)


def test_rank_must_agree():
    with pytest.raises(FormatError, match="rank of the chunks"):
        read(ChunkedLayout(4, (1, 1), 4, SINGLE, 0), (1,))


def test_more_cells_than_numbers():
    with pytest.raises(Unsupported, match="numbered"):
        read(ChunkedLayout(3, (1, 1), 4, BTREE_V1, 0), (1 << 40, 1 << 40))


def test_cells_without_elements():
    assert len(read(ChunkedLayout(3, (1, 1), 4, BTREE_V1, 0), (0, (1 << 64) - 1))) == 0


def test_size_of_a_chunk_is_bounded():
    with pytest.raises(FormatError, match="size of a chunk"):
        read(ChunkedLayout(4, ((1 << 64) - 1,), 4, SINGLE, 0), (1,))


def test_single_chunk_beyond_the_file():
    with pytest.raises(TruncatedError, match="1 chunks reach beyond"):
        read(ChunkedLayout(4, (4,), 4, SINGLE, 60), (4,))
    assert len(read(ChunkedLayout(4, (4,), 4, SINGLE, 48), (4,))) == 1


def test_single_chunk_sizes():
    index = read(ChunkedLayout(4, (4,), 4, SINGLE, 8, (5, 2)), (4,), filtered=True)
    assert (index.size.tolist(), index.filter_mask.tolist()) == ([5], [2])
    with pytest.raises(FormatError, match="without its stored size"):
        read(ChunkedLayout(4, (4,), 4, SINGLE, 8), (4,), filtered=True)


def test_implicit_needs_the_whole_file():
    with pytest.raises(TruncatedError, match="implicit"):
        read(ChunkedLayout(4, (1,), 1, IMPLICIT, 0), (1 << 40,))
    with pytest.raises(FormatError, match="unlimited"):
        read(ChunkedLayout(4, (1,), 1, IMPLICIT, 0), (4,), max_shape=(None,))


def test_extensible_array_needs_one_unlimited_dimension():
    for max_shape in ((4, 4), (None, None)):
        with pytest.raises(FormatError, match="unlimited dimensions"):
            read(ChunkedLayout(4, (1, 1), 1, EXTENSIBLE_ARRAY, 0), (4, 4), max_shape=max_shape)


def test_the_address_of_an_index_may_be_anything():
    for index in (BTREE_V1, FIXED_ARRAY, EXTENSIBLE_ARRAY, BTREE_V2):
        for address in (0, 1, 63, 64, (1 << 63) - 1, (1 << 64) - 2):
            with pytest.raises(FormatError):
                read(
                    ChunkedLayout(4, (1,), 1, index, address),
                    (4,),
                    max_shape=(None,) if index == EXTENSIBLE_ARRAY else (4,),
                )
