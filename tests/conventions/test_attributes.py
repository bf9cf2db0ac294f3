from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
from xarray.core.utils import equivalent

from refmaker import scan
from refmaker.conventions.attributes import encode_attribute
from refmaker.conventions.netcdf4 import annotate
from refmaker.errors import Unsupported
from refmaker.manifest.types import restored
from refmaker.model import Attribute, Compound, Dataspace, FixedPoint, ObjectReference, RegionReference, String
from refmaker.scanning.detect import read_tree

INT = FixedPoint(4, "<", True, 0, 32)


def attribute(value: Any, datatype: Any = INT, name: str = "a") -> Attribute:
    return Attribute(name, datatype, Dataspace("simple", np.shape(value)), value)


def objects(*items: Any) -> np.ndarray:
    out = np.empty(len(items), object)
    out[:] = items
    return out


def encode(value: Any, datatype: Any = INT, name: str = "a") -> tuple[Any, str | None]:
    encoded, note = encode_attribute(attribute(value, datatype, name), {16: "/x", 32: "/g/y"}.get)
    json.dumps(encoded, allow_nan=False).encode()
    return encoded, note


@pytest.mark.parametrize(
    "value",
    [
        np.float32(0.1),
        np.array([3], "i2"),
        np.array([1, 2, 2**63 - 1]),
        np.array([1, 2], ">i4"),
        np.uint64(2**64 - 1),
        np.array([], "f4"),
        np.float64("nan"),
        np.array([np.nan, 1.0]),
        "héllo",
        "",
        np.bytes_(b"abc"),
        np.array(b"ab\0\0cd", "S8"),
        np.array([b"ab", b"cde", b""], "S5"),
        np.array([b"ab"], "S5"),
        np.array([[b"ab", b"x"]], "S5"),
        np.array(["a", "bé", ""], object),
        np.array(["a"], object),
        np.array([["a", "b"], ["c", "d"]], object),
        h5py.Empty("f4"),
        h5py.Empty("S5"),
        h5py.Empty(h5py.string_dtype()),
        np.array([], h5py.string_dtype()),
        np.bytes_(b"caf\xe9"),
    ],
    ids=repr,
)
def test_values_are_those_that_netcdf4_shows(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as f:
        f.create_dataset("v", data=np.arange(3.0)).attrs["a"] = value
    with netCDF4.Dataset(path) as nc:
        want = nc["v"].getncattr("a")
    (variable,) = annotate(read_tree(str(path))).variables
    json.dumps(variable.attributes, allow_nan=False)
    got = restored(variable.attributes["a"], variable.types.get("a"))
    assert equivalent(want, got)
    assert type(got) is type(want) or isinstance(value, h5py.Empty)
    assert np.asarray(got).dtype == np.asarray(want).dtype or isinstance(value, h5py.Empty)
    assert equivalent(got, want)


def test_infinity_is_a_string_with_a_note() -> None:
    assert encode(np.float32("inf"))[0] == "Infinity"
    assert encode(np.array([1.0, -np.inf, np.nan]))[0] == [1.0, "-Infinity", None]
    assert "infinity" in (encode(np.float64("-inf"))[1] or "")


def test_nan_among_what_xarray_computes_with_must_not_pass_for_absent() -> None:
    encoded, note = encode(np.float64("nan"), name="scale_factor")
    assert encoded == "NaN"
    assert note is not None


def test_what_stands_behind_a_nul_is_shown_with_a_note() -> None:
    encoded, note = encode(np.array(b"ab\0garbage", "S16"), String(16, 0, "ascii"))
    assert encoded == "abgarbage"
    assert "NUL" in (note or "")


def test_object_references_are_paths() -> None:
    reference = ObjectReference(8)
    assert encode(np.array(16, "u8"), reference) == ("/x", None)
    encoded, note = encode(np.array([32, 2**64 - 1], "u8"), reference)
    assert encoded == ["/g/y", ""]
    assert note is not None


def test_sequences_are_lists() -> None:
    assert encode(objects(np.array([1, 2], "i4"), np.array([3], "i4")))[0] == [[1, 2], [3]]


@pytest.mark.parametrize(
    ("value", "datatype"),
    [
        (np.zeros(1, [("a", "i4")]), Compound(4, ())),
        (np.zeros(1, "V12"), RegionReference(12)),
        (np.array([1j]), INT),
        (objects(np.zeros(1, [("a", "i4")])), INT),
        (objects(objects(np.zeros(2))), INT),
    ],
)
def test_what_json_cannot_hold_is_refused(value: Any, datatype: Any) -> None:
    with pytest.raises(Unsupported):
        encode(value, datatype)


def test_nothing_is_dropped_without_a_note(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as f:
        f.attrs["CLASS"] = "GROUP"
        f.attrs["pair"] = np.array((1, 2.0), [("a", "i4"), ("b", "f8")])
        v = f.create_dataset("v", data=[1, 2])
        v.attrs["pair"] = np.array((1, 2.0), [("a", "i4"), ("b", "f8")])
        v.attrs["least_significant_digit"] = 2
        v.attrs["scale_factor"] = np.float32(0.1)
        f["truth"] = True
        f.attrs["truth"] = True
    view = annotate(read_tree(str(path)))
    root = {note.partition(":")[0] for note in view.group_notes[""]}
    assert root == {"CLASS", "pair"}
    assert view.groups[""] == {"truth": True}
    v_notes = {note.partition(":")[0] for v in view.variables if v.zarr_path == "v" for note in v.notes}
    assert v_notes == {"pair", "least_significant_digit", "scale_factor"}


@pytest.mark.parametrize("dtype", ["i1", ">u2", "f4", "f8", "i8"])
def test_no_numbers_of_a_type(tmp_path: Path, dtype: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["none"] = h5py.Empty(dtype)
    manifest = scan(tmp_path / "a.h5")
    assert manifest.groups[""]["none"] == []
    assert manifest.types is not None
    got = restored([], manifest.types[""]["none"])
    with netCDF4.Dataset(tmp_path / "a.h5") as file:
        expected = file.getncattr("none")
    assert equivalent(got, expected)
    assert got.dtype == expected.dtype.newbyteorder("=")
