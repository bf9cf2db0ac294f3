from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refmaker.errors import FormatError, RefmakerError, Unsupported
from refmaker.hdf5.checksum import lookup3
from refmaker.hdf5.sizes import Sizes
from refmaker.hdf5.virtual import decode_mappings, is_numbered, numbered_name
from refmaker.model import Selection, Slab, Virtual
from tests.hdf5.walking import tree_of

SIZES = Sizes(8, 8)
ALL = struct.pack("<IIII", 3, 1, 0, 0)
NONE = struct.pack("<IIII", 0, 1, 0, 0)


def _block(version: int, entries: list[bytes], n: int | None = None, sizes: Sizes = SIZES) -> bytes:
    head = bytes([version]) + (len(entries) if n is None else n).to_bytes(sizes.lengths, "little")
    data = head + b"".join(entries)
    return data + lookup3(data).to_bytes(4, "little")


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_mappings_of_libhdf5(tmp_path: Path, libver: str) -> None:
    layout = h5py.VirtualLayout((4, 10), "<i4")
    layout[0] = h5py.VirtualSource("a.h5", "x", (10,))
    layout[1, 2:8:2] = h5py.VirtualSource(".", "/g/ü", (10,))[1:4]
    with h5py.File(tmp_path / "v.h5", "w", libver=libver) as file:
        file.create_virtual_dataset("v", layout)
    storage = tree_of((tmp_path / "v.h5").read_bytes()).datasets["/v"].storage
    assert isinstance(storage, Virtual)
    first, second = storage.mappings
    assert (first.file, first.dataset, first.source) == ("a.h5", "x", Selection("all"))
    assert (second.file, second.dataset) == (".", "/g/ü")
    if second.virtual.kind == "slabs":
        assert second.virtual.slabs[1] == Slab(2, 2, 3, 1)
    else:
        assert second.virtual.blocks is not None
        assert second.virtual.blocks[:, 1, 0].tolist() == [2, 4, 6]


def test_no_mappings(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file.create_virtual_dataset("v", h5py.VirtualLayout((4,), "<i4"))
    data = (tmp_path / "v.h5").read_bytes()
    assert tree_of(data).datasets["/v"].storage.mappings == ()


@pytest.mark.parametrize("lengths", [4, 8])
def test_version_1_shares_names(lengths: int) -> None:
    """Flags: file of an earlier entry, dataset of an earlier entry, same file."""
    zero, one = (n.to_bytes(lengths, "little") for n in (0, 1))
    entries = [
        b"\0" + b"a.h5\0x\0" + ALL + ALL,
        b"\1" + zero + b"y\0" + ALL + NONE,
        b"\3" + zero + one + ALL + ALL,
        b"\4" + b"z\0" + ALL + ALL,
        b"\6" + zero + ALL + ALL,
    ]
    sizes = Sizes(8, lengths)
    mappings = decode_mappings(_block(1, entries, sizes=sizes), sizes)
    assert [(m.file, m.dataset) for m in mappings] == [
        ("a.h5", "x"),
        ("a.h5", "y"),
        ("a.h5", "y"),
        (".", "z"),
        (".", "x"),
    ]
    assert mappings[1].virtual == Selection("none")


ENTRY = b"a.h5\0x\0" + ALL + ALL


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (_block(2, []), "version"),
        (_block(0, [ENTRY])[:-1] + b"\0", "checksum"),
        (_block(0, [ENTRY], n=1 << 40), "number of entries"),
        (_block(0, [ENTRY, ENTRY], n=3), "."),
        (_block(0, [b"no end" * 20], n=1), "without an end"),
        (_block(1, [b"\1" + bytes(8) + b"x\0" + ALL + ALL]), "earlier entry"),
        (_block(0, [b"a\0b\0" + ALL + ALL[:12]]), "."),
        (b"", "too early"),
    ],
    ids=["version", "checksum", "number", "one-less", "name", "earlier", "cut", "nothing"],
)
def test_damaged_blocks(block: bytes, words: str) -> None:
    with pytest.raises((FormatError, Unsupported), match=words):
        decode_mappings(block, SIZES)


@given(st.binary(max_size=120), st.integers(0, 1), st.integers(0, 3))
def test_any_bytes(data: bytes, version: int, n: int) -> None:
    with contextlib.suppress(RefmakerError):
        decode_mappings(_block(version, [data], n), SIZES)


@pytest.mark.parametrize(
    ("name", "numbered", "third"),
    [
        ("a.h5", False, "a.h5"),
        ("a-%b.h5", True, "a-3.h5"),
        ("%b%b", True, "33"),
        ("100%%.h5", False, "100%.h5"),
        ("%%b", False, "%b"),
        ("%%%b%%", True, "%3%"),
    ],
)
def test_numbered_names(name: str, numbered: bool, third: str) -> None:
    assert is_numbered(name) is numbered
    assert numbered_name(name, 3) == third


@pytest.mark.parametrize("name", ["a%d", "%", "a%%%", "%B"])
def test_other_specifiers(name: str) -> None:
    with pytest.raises(FormatError, match="format specifier"):
        numbered_name(name, 0)


def test_damaged_mappings_cost_one_dataset(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((10,), "<i4")
    layout[...] = h5py.VirtualSource("a.h5", "x", (10,))
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file.create_virtual_dataset("v", layout)
        file["other"] = np.arange(3)
    data = (tmp_path / "v.h5").read_bytes().replace(b"a.h5\0", b"b.h5\0")
    tree = tree_of(data)
    assert "checksum" in tree.refusals["/v"].reason
    assert "/other" in tree.datasets
