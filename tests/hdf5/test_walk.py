"""The walk as a whole: over pages, cut, with flipped bits; what is lost then, and what is told."""

from __future__ import annotations

import contextlib
import random

import pytest

from refmaker.errors import FormatError, RefmakerError, TruncatedError
from refmaker.hdf5.checksum import lookup3
from tests.fuzz.fuzz_hdf5 import Seed, answer, sign, study
from tests.fuzz.seeds_hdf5 import seeds
from tests.hdf5.assembling import (
    DATATYPE,
    LINK,
    LINK_INFO,
    Image,
    compact,
    dataset,
    dataspace,
    group,
    hard_link,
    header_2,
    integer,
    link_info,
)
from tests.hdf5.making import made
from tests.hdf5.walking import plain, tree_in_rounds, tree_of

SEEDS = dict(seeds())


@pytest.fixture(scope="module", params=SEEDS)
def seed(request) -> Seed:
    found = study(request.param, SEEDS[request.param])
    assert found is not None
    return found


@pytest.mark.parametrize("page_bits", [6, 7, 8, 9, 16])
def test_over_pages(seed, page_bits):
    """However the file is cut into pages, the tree is the same, in few rounds."""
    tree, rounds = tree_in_rounds(seed.data, page_bits)
    assert plain(tree) == plain(tree_of(seed.data))
    assert rounds <= 40


def with_end(data: bytes) -> bytes:
    """Correct the superblock of a file that was cut, so that it is walked nevertheless."""
    at = data.index(b"\x89HDF")
    out = bytearray(data)
    if len(data) < at + 100:
        return data
    if data[at + 8] < 2:
        width = data[at + 13]
        end = at + 24 + 2 * width
        out[end : end + width] = len(data).to_bytes(width, "little")
    else:
        width = data[at + 9]
        end = at + 12 + 2 * width
        out[end : end + width] = len(data).to_bytes(width, "little")
        stop = at + 12 + 4 * width
        out[stop : stop + 4] = lookup3(bytes(out[at:stop])).to_bytes(4, "little")
    return bytes(out)


def test_cut(seed):
    """At some of all lengths: an error, or a tree that refuses what is gone."""
    rng = random.Random(seed.name)
    with pytest.raises(TruncatedError):
        answer(seed.data[: len(seed.data) - 1])
    assert answer(with_end(seed.data)) == answer(seed.data)
    for _ in range(12):
        size = rng.randrange(len(seed.data))
        for data in (seed.data[:size], with_end(seed.data[:size]) if b"\x89HDF" in seed.data[:size] else b""):
            with contextlib.suppress(RefmakerError):
                answer(data)


def test_every_length_of_a_small_file():
    def build(file):
        file.create_dataset("x", (6,), "<i2", chunks=(2,), maxshape=(None,))[...] = 1
        file.attrs["text"] = ["a", "b"]

    for libver in ("earliest", "latest"):
        data = made(build, libver=libver)
        lost = 0
        for size in range(0, len(data), 5):
            with pytest.raises(FormatError):
                answer(data[:size])
            try:
                lost += answer(with_end(data[:size])) if size > 100 else 1
            except FormatError:
                lost += 1
        assert lost > 100


def test_checksums(seed):
    """A flipped bit in a structure with a checksum is always found."""
    rng = random.Random(seed.name)
    for span in rng.sample(seed.spans, min(len(seed.spans), 25)):
        for _ in range(2):
            bad = bytearray(seed.data)
            bad[span.address + rng.randrange(span.size)] ^= 1 << rng.randrange(8)
            with pytest.raises(RefmakerError):
                strict(bytes(bad))
            sign(bad, span)
    strict(seed.data)


def strict(data: bytes) -> None:
    """Walk, and raise the first error: an object's, a dataset's, an attribute's."""
    tree = tree_of(data, strict=True)
    notes = [note for found in (*tree.groups.values(), *tree.datasets.values()) for note in found.notes]
    refusals = [refusal.reason for refusal in tree.refusals.values() if refusal.kind != "link"]
    problems = [p for p in (*notes, *refusals) if "checksum" in p or "object header" in p or "signature" in p]
    if problems or any("B-tree" in p or "heap" in p for p in (*notes, *refusals)):
        raise FormatError(str(problems or notes or refusals))


# What an object that cannot be read costs.


def test_one_object_costs_itself():
    image = Image()
    good = image.place(dataset(dataspace([2]), integer(1), compact(b"ab")))
    bad = image.place(dataset(dataspace([2]), integer(1), compact(b"cd")))
    image.data[bad + 20] ^= 1
    gone = 1 << 40
    data = image.file(image.place(group([hard_link(b"bad", bad), hard_link(b"gone", gone), hard_link(b"good", good)])))
    tree = tree_of(data)
    assert list(tree.datasets) == ["/good"]
    assert "checksum" in tree.refusals["/bad"].reason
    assert "beyond the file" in tree.refusals["/gone"].reason
    with pytest.raises(FormatError):
        tree_of(data, strict=True)


def test_the_root_is_fatal():
    image = Image()
    root = image.place(group())
    image.data[root + 20] ^= 1
    with pytest.raises(FormatError, match="checksum"):
        tree_of(image.file(root))
    with pytest.raises(FormatError, match="beyond the file"):
        tree_of(Image().file(1 << 40))


def test_unknown_messages():
    """Those that a reader must understand cost the object; others do not."""
    for flags, kind, lost in (
        (0x00, 0x30, False),
        (0x08, 0x30, False),
        (0x80, 0x30, True),
        (0x80, 0x09, True),
        (0x80, 0x0D, False),
    ):
        image = Image()
        inner = image.place(header_2([(LINK_INFO, link_info()), (kind, b"abc", flags)]))
        tree = tree_of(image.file(image.place(group([hard_link(b"g", inner)]))))
        assert ("/g" in tree.refusals) == lost
        assert ("/g" in tree.groups) != lost


def test_the_first_of_two_messages_counts():
    """As in libhdf5."""
    image = Image()
    two = image.place(dataset(dataspace([2]), integer(1), compact(b"ab"), [(DATATYPE, integer(2))]))
    tree = tree_of(image.file(image.place(group([hard_link(b"x", two)]))))
    assert tree.datasets["/x"].datatype.size == 1


def test_swmr_is_noted():
    image = Image()
    root = image.place(group())
    assert "open for writing" in tree_of(image.file(root, version=3, flags=5)).notes[0]
    assert tree_of(image.file(root, version=3)).notes == []


def test_links_of_every_kind_in_one_header():
    image = Image()
    types = image.place(header_2([(DATATYPE, integer())]))
    user = bytes([1, 8, 187, 1]) + b"u" + bytes(2)
    root = image.place(header_2([(LINK_INFO, link_info()), (LINK, hard_link(b"t", types)), (LINK, user)]))
    tree = tree_of(image.file(root))
    assert tree.types == ["/t"]
    assert "user-defined link of type 187" in tree.refusals["/u"].reason


def test_sizes_of_storage_are_held_against_the_dataspace():
    image = Image()
    short = image.place(dataset(dataspace([3]), integer(1), compact(b"ab")))
    long = image.place(dataset(dataspace([1]), integer(1), compact(b"ab")))
    tree = tree_of(image.file(image.place(group([hard_link(b"s", short), hard_link(b"l", long)]))))
    assert set(tree.refusals) == {"/s", "/l"}
    assert all("size of compact data" in refusal.reason for refusal in tree.refusals.values())


def test_dense_storage_is_found_in_few_rounds():
    """Both headers come together, then both roots: names and heap are not walked one after the other."""

    def fill(file) -> None:
        for k in range(12):
            dataset = file.create_dataset(f"d{k}", (100,), "i4", chunks=(10,), maxshape=(None,))
            for a in range(12):
                dataset.attrs[f"a{a}"] = a
            dataset[:5] = 1

    data = made(fill, libver="latest")
    tree, rounds = tree_in_rounds(data, 5)
    assert plain(tree) == plain(tree_of(data))
    # Thirteen where each of them is asked for when it is read.
    assert rounds <= 9
