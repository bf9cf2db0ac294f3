from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from refmaker.errors import Unsupported
from refmaker.mapping.dtypes import zarr_dtype
from refmaker.model import (
    ArrayType,
    Compound,
    FixedPoint,
    FloatingPoint,
    Member,
    ObjectReference,
    Opaque,
    RegionReference,
    String,
    Time,
    VariableLength,
)
from refmaker.scanning.detect import read_tree
from refmaker.scanning.scan import scan
from tests.mapping.stock import open_array

INT = FixedPoint(4, "<", True, 0, 32)
F4 = FloatingPoint(4, "<", 0, 32, 31, 23, 8, 0, 23, 127, 2)


def test_time_tags_of_h5py() -> None:
    assert zarr_dtype(Opaque(8, "NUMPY:<M8[s]")).dtype == np.dtype("<M8[s]")
    assert zarr_dtype(Opaque(8, "NUMPY:>m8[25us]")).dtype == np.dtype(">m8[25us]")
    with pytest.raises(Unsupported, match="with the tag"):  # h5py does not read it either
        zarr_dtype(Opaque(8, "NUMPY:<M8[xx]"))
    with pytest.raises(Unsupported, match="with the tag"):
        zarr_dtype(Opaque(4, "NUMPY:<M8[s]"))


def test_arrays_of_arrays_add_all_their_axes() -> None:
    inner = ArrayType(INT, (2,), 8)
    found = zarr_dtype(ArrayType(inner, (3, 4), 96))
    assert (found.dtype, found.extra) == (np.dtype("<i4"), (3, 4, 2))


def test_padding_is_repacked() -> None:
    padded = Compound(16, (Member("a", 0, INT), Member("s", 8, String(3, 0, "ascii"))))
    found = zarr_dtype(padded)
    assert found.dtype == np.dtype([("a", "<i4"), ("s", "S3")])
    assert found.stored is not None
    assert found.stored.itemsize == 16
    assert found.terminated == ((4, 3),)
    assert zarr_dtype(Compound(7, (Member("a", 0, INT), Member("s", 4, String(3, 1, "ascii"))))).stored is None


@pytest.mark.parametrize(
    ("names", "offsets", "size", "dtype"),
    [
        (("r", "i"), (0, 4), 8, "<c8"),
        (("real", "imag"), (0, 4), 8, "<c8"),
        (("i", "r"), (0, 4), 8, None),
        (("r", "i"), (0, 8), 12, None),
        (("x", "y"), (0, 4), 8, None),
    ],
)
def test_complex(names: tuple[str, str], offsets: tuple[int, int], size: int, dtype: str | None) -> None:
    members = tuple(Member(name, offset, F4) for name, offset in zip(names, offsets, strict=True))
    found = zarr_dtype(Compound(size, members)).dtype
    assert found == np.dtype(dtype) if dtype else found.names == names


@pytest.mark.parametrize(
    ("datatype", "why"),
    [
        (FloatingPoint(4, "vax", 0, 32, 31, 23, 8, 0, 23, 127, 2), "IEEE"),
        (String(0, 0, "ascii"), "size 0"),
        (Time(4, "<", 32), "time"),
        (RegionReference(12), "region"),
        (VariableLength(VariableLength(INT, True, "utf-8", 16), False, "ascii", 16), "sequences of strings"),
        (VariableLength(Compound(9, (Member("s", 1, String(8, 0, "ascii")),)), False, "ascii", 16), "null-terminated"),
        (VariableLength(ArrayType(ObjectReference(8), (2,), 16), False, "ascii", 16), "sequences of references"),
        (VariableLength(FixedPoint(4, ">", True, 0, 32), False, "ascii", 16), "big-endian"),
        (Compound(16, (Member("s", 0, VariableLength(INT, False, "ascii", 16)),)), "'s'"),
        (Compound(16, (Member("s", 0, VariableLength(INT, True, "utf-8", 16)),)), "'s'"),
        (Compound(8, (Member("ref", 0, ObjectReference(8)),)), "'ref'"),
        (Compound(8, (Member("m", 0, ArrayType(INT, (2,), 8)),)), "an array"),
        (Compound(4, (Member("m", 0, Compound(4, (Member("x", 0, INT),))),)), "a compound"),
        (Compound(8, (Member("m", 0, INT), Member("m", 4, INT))), "one name"),
        (Compound(0, ()), "without members"),
        (Opaque(0, ""), "size 0"),
    ],
)
def test_refused_with_a_reason(datatype: Any, why: str) -> None:
    with pytest.raises(Unsupported, match=why):
        zarr_dtype(datatype)


ENUM = h5py.enum_dtype({"RED": 0, "GREEN PEA": 1}, "i2")
VALUES = {
    "float16": np.array([1.5, -2], "<f2"),
    "big": np.array([1, -2], ">i8"),
    "unsigned": np.array([2**64 - 1, 0], "u8"),
    "bool": np.array([True, False]),
    "complex64": np.array([1 + 2j, 3], "<c8"),
    "complex_big": np.array([1 + 2j, 3], ">c16"),
    "opaque": np.array([b"abc", b"\0\1\2"]).view("V3"),
    "array": np.zeros(2, [("a", "i4", (3, 2))])["a"],
    "packed": np.array([(1, 2.5, b"xy"), (3, np.nan, b"")], [("a", "i2"), ("b", ">f8"), ("c", "S2")]),
    "aligned": np.array([(1, 2.5), (3, np.nan)], np.dtype([("a", "i1"), ("b", "f8")], align=True)),
    "flags": np.array([(1, True), (3, False)], [("a", "i1"), ("b", "?")]),
}


@pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning")
@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("name", VALUES)
def test_values_read_with_zarr(tmp_path: Path, name: str, zarr_format: Any, chunked: bool) -> None:
    path, want = tmp_path / "a.h5", VALUES[name]
    with h5py.File(path, "w") as f:
        dtype = np.dtype(("i4", (3, 2))) if name == "array" else want.dtype
        options = {"chunks": (1,), "compression": "gzip"} if chunked else {}
        f.create_dataset("v", (2,), dtype, **options)[...] = want
    manifest = scan(str(path), zarr_format=zarr_format)
    assert manifest.refusals == {}
    array = open_array(manifest, tmp_path, "v")
    got = array[...]
    assert got.shape == want.shape
    assert got.dtype.names == want.dtype.names
    for member in want.dtype.names or (...,):
        assert got[member].astype(want[member].dtype).tobytes() == want[member].tobytes()


def test_times_of_h5py(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    want = np.array(["2000-01-01", "NaT"], "<M8[us]")
    with h5py.File(path, "w") as f:
        f["v"] = want.astype(h5py.opaque_dtype(want.dtype))
    got = open_array(scan(str(path)), tmp_path, "v")[...]
    assert got.dtype == want.dtype
    assert got.tobytes() == want.tobytes()


def test_enumerations_say_their_names_where_netcdf4_has_no_type(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as f:
        f.create_dataset("plain", data=np.array([1, 0], "i2"), dtype=ENUM)
        given = f.create_dataset("given", data=np.array([1, 0], "i2"), dtype=ENUM)
        given.attrs["flag_meanings"] = "a b"
    manifest = scan(str(path))
    assert manifest.arrays["plain"].metadata.document["dtype"] == "<i2"
    assert manifest.arrays["plain"].attributes["flag_values"] == [0, 1]
    assert manifest.arrays["plain"].attributes["flag_meanings"] == "RED GREEN_PEA"
    assert "flag_values" not in manifest.arrays["given"].attributes


def test_bit_fields_are_unsigned(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as f:
        space = h5py.h5s.create_simple((3,))
        d = h5py.h5d.create(f.id, b"v", h5py.h5t.STD_B16BE, space)
        d.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([1, 2, 0xFFFE], ">u2"), mtype=h5py.h5t.STD_B16BE)
    assert open_array(scan(str(path)), tmp_path, "v")[...].tolist() == [1, 2, 0xFFFE]


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("inside", [False, True])
def test_what_follows_the_nul_of_a_null_terminated_string_is_cut(
    tmp_path: Path, compression: str | None, inside: bool
) -> None:
    path = tmp_path / "a.h5"
    text = h5py.h5t.C_S1.copy()
    text.set_size(6)
    text.set_strpad(h5py.h5t.STR_NULLTERM)
    kind = text
    if inside:
        kind = h5py.h5t.create(h5py.h5t.COMPOUND, 8)
        kind.insert(b"n", 0, h5py.h5t.STD_I16LE)
        kind.insert(b"s", 2, text)
    rows = np.array([b"ab\0cde", b"abcdef", b"\0xx", b"a"], "S6")
    data = rows
    if inside:
        data = np.zeros(4, [("n", "<i2"), ("s", "S6")])
        data["s"] = rows
    with h5py.File(path, "w") as f:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((2,))
        if compression:
            plist.set_deflate(4)
        d = h5py.h5d.create(f.id, b"v", kind, h5py.h5s.create_simple((4,)), plist)
        d.write(h5py.h5s.ALL, h5py.h5s.ALL, data, mtype=kind)
    (dataset,) = read_tree(str(path)).datasets.values()
    assert zarr_dtype(dataset.datatype).terminated
    got = open_array(scan(str(path)), tmp_path, "v")[...]
    assert (got["s"] if inside else got).tolist() == [b"ab", b"abcdef", b"", b"a"]


def test_clean_null_terminated_strings_stay_references(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    text = h5py.h5t.C_S1.copy()
    text.set_size(4)
    with h5py.File(path, "w") as f:
        d = h5py.h5d.create(f.id, b"v", text, h5py.h5s.create_simple((2,)))
        d.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([b"ab", b"c"], "S4"), mtype=text)
    manifest = scan(str(path))
    assert not manifest.arrays["v"].references.inline
    assert "NUL" in scan(str(path), inline_limit=1, portable=True).refusals["/v"]
