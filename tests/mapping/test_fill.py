from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import refmaker
from refmaker.errors import Unsupported
from refmaker.mapping.fill import FillPlan, plan_fill
from refmaker.model import FillValue
from refmaker.zarr.fill_values import encode_fill
from refmaker.zarr.zarr_dtype import ZarrDtype

F4 = ZarrDtype(np.dtype("<f4"))
I2 = ZarrDtype(np.dtype(">i2"))
S3 = ZarrDtype(np.dtype("S3"))
TEXT = ZarrDtype(np.dtype(object), text=True)


def plan(
    dtype: ZarrDtype,
    fill: Any = b"",
    attribute: Any = None,
    encoded: Any = None,
    *,
    missing: bool = True,
    fits: bool = True,
    zarr_format: Any = 2,
) -> FillPlan:
    if not isinstance(fill, (bytes, type(None))):
        fill = np.array(fill, dtype.dtype).tobytes()
    if encoded is None and isinstance(attribute, np.generic) and np.isfinite(attribute):
        encoded = attribute.item()
    found = plan_fill(dtype, FillValue(fill), attribute, encoded, missing=missing, fits=fits, masks=zarr_format == 2)
    json.dumps([found.fill_value, found.attribute], allow_nan=False)
    return found


def test_complete_arrays_have_no_fill_value_of_their_own() -> None:
    found = plan(F4, -9.0, np.float32(-9), missing=False)
    assert (found.fill_value, found.attribute, found.drop) == (None, -9.0, False)
    found = plan(F4, -9.0, missing=False)
    assert (found.fill_value, found.drop) == (None, True)


@pytest.mark.parametrize(("value", "encoded"), [(np.nan, "NaN"), (np.inf, "Infinity"), (-np.inf, "-Infinity")])
def test_what_json_has_no_number_for_travels_as_fill_value(value: float, encoded: str) -> None:
    for missing in (False, True):
        found = plan(F4, value, np.float32(value), missing=missing)
        assert (found.fill_value, found.drop, found.materialise) == (encoded, True, False)


def test_bytes_travel_as_fill_value() -> None:
    found = plan(S3, b"ab\0", b"ab", "ab", missing=False)
    assert (found.fill_value, found.drop) == ("YWIA", True)


def test_missing_chunks_with_the_fill_value_of_the_attribute() -> None:
    found = plan(I2, -9, np.int16(-9))
    assert (found.fill_value, found.attribute, found.drop, found.materialise) == (-9, -9, False, False)


@pytest.mark.parametrize("attribute", [None, np.int16(3)])
def test_missing_chunks_with_another_fill_value_are_written_out(attribute: Any) -> None:
    found = plan(I2, 7, attribute)
    assert found.materialise
    assert found.element == 7
    assert found.fill_value is None
    assert found.attribute == (None if attribute is None else 3)
    crowded = plan(I2, 7, attribute, fits=False)
    assert not crowded.materialise
    assert crowded.fill_value == 7
    assert crowded.notes


def test_zero_is_not_minus_zero() -> None:
    assert plan(F4, -0.0, np.float32(0)).materialise
    assert not plan(F4, -0.0, np.float32(-0.0)).materialise


def test_nan_may_stand_where_no_attribute_is() -> None:
    found = plan(F4, np.nan)
    assert (found.fill_value, found.materialise) == ("NaN", False)


def test_written_out_chunks_leave_the_attribute_to_mask() -> None:
    found = plan(F4, 1.0, np.float32(np.nan))
    assert (found.materialise, found.fill_value, found.drop) == (True, "NaN", True)


def test_undefined_reads_as_zeros_and_says_so() -> None:
    found = plan(F4, None)
    assert found.materialise
    assert found.element == 0
    assert "undefined" in found.notes[0]
    assert not plan(F4, None, missing=False).notes


def test_attributes_that_are_no_element_stay_attributes() -> None:
    found = plan(I2, 0, np.float64(1.5))
    assert (found.materialise, found.attribute) == (True, 1.5)
    found = plan(I2, 0, np.float32(np.nan), missing=False)
    assert (found.fill_value, found.drop) == (None, True)
    found = plan(I2, 0, np.int64(70000), missing=False)
    assert (found.fill_value, found.attribute) == (None, 70000)
    found = plan(F4, 0, None, [1.0, 2.0], missing=False)
    assert found.attribute == [1.0, 2.0]


def test_text() -> None:
    assert plan(TEXT, missing=False).fill_value is None
    found = plan(TEXT, b"", b"x", "x")
    assert (found.materialise, found.element, found.attribute) == (True, None, "x")
    assert plan(TEXT, fits=False).fill_value == ""


def test_zarr_3_keeps_both_apart() -> None:
    found = plan(F4, 7.0, np.float32(-9), zarr_format=3)
    assert (found.fill_value, found.attribute, found.materialise) == (7.0, "AAAAAAAAIsA=", False)
    assert plan(I2, 7, np.int16(3), zarr_format=3).attribute == 3
    found = plan(S3, b"", b"ab", "ab", zarr_format=3)  # xarray fails on every attribute _FillValue of this dtype
    assert (found.attribute, found.drop, len(found.notes)) == (None, True, 1)
    assert plan(TEXT, b"", b"x", "x", zarr_format=3).notes
    assert plan(F4, 0, None, [1.0, 2.0], zarr_format=3).notes


def test_array_datatypes_have_one_fill_value() -> None:
    pair = ZarrDtype(np.dtype("<i4"), (2,))
    assert plan(pair, np.array([3, 3], "<i4").tobytes()).element == 3
    differing = np.array([3, 4], "<i4").tobytes()
    assert plan(pair, differing, missing=False).materialise is False
    with pytest.raises(Unsupported, match="differs"):
        plan(pair, differing, fits=False)
    written = plan(pair, differing)
    assert written.materialise
    np.testing.assert_array_equal(written.element, [3, 4])
    with pytest.raises(Unsupported, match="bytes"):
        plan(pair, b"\0\0\0\0")


@pytest.mark.parametrize(
    ("value", "dtype", "encoded"),
    [
        (np.float32(0.1), "<f4", float(np.float32(0.1))),
        (np.uint64(2**64 - 1), "<u8", 2**64 - 1),
        (np.bool_(True), "?", True),
        (np.complex64(1 + np.nan * 1j), "<c8", ["NaN", "NaN"]),
        (np.complex64(1 - 2j), "<c8", [1.0, -2.0]),
        (np.bytes_(b"a"), "S2", "YQA="),
        (np.void(b"ab"), "V2", "YWI="),
        (np.datetime64(5, "s"), "<M8[s]", 5),
        (np.array(5, ">M8[s]")[()], ">M8[s]", 5),
        (np.array((1, 2), [("a", "<i2"), ("b", ">i2")])[()], [("a", "<i2"), ("b", ">i2")], "AQAAAg=="),
    ],
)
def test_encoding(value: Any, dtype: Any, encoded: Any) -> None:
    assert encode_fill(value, np.dtype(dtype)) == encoded


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("written", [False, True])
def test_never_filled_elements_are_undefined(tmp_path: Path, written: bool, zarr_format: Any) -> None:
    """With fill time "never" libhdf5 leaves the memory of whoever reads as it is; here the declared value is shown."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("a", (4, 4), "i4", chunks=(2, 2), fillvalue=-99, fill_time="never")
        if written:
            dataset[:2, :2] = 7
        for memory in (0, 5):
            shown = np.full((4, 4), memory, "i4")
            dataset.read_direct(shown)
            assert (shown[2:] == memory).all()
    references = refmaker.scan(tmp_path / "a.h5", zarr_format=zarr_format).arrays["a"].references
    if zarr_format == 3:  # Zarr 2 would mask -99, so that there the chunks are written out
        assert len(references) == written
        assert refmaker.scan(tmp_path / "a.h5", zarr_format=3).arrays["a"].metadata.fill_value == -99
    else:
        assert list(references.inline.values()) == [np.full(4, -99, "<i4").tobytes()] * (4 - written)
