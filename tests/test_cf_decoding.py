"""Steps beside xarray: every form alone, and every ordered pair of forms put together, by bytes."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
import xarray as xr

from refmaker.cf_decoding import common_dtype, decoding_steps, promoted
from refmaker.errors import Unsupported
from refmaker.steps import template_from_json

F4, F8 = np.float32, np.float64


def extremes(dtype: str) -> np.ndarray:
    kind = np.dtype(dtype)
    if kind.kind == "f":
        bits = [0x7FC00001, 0xFFC12345, 0x7F800000, 0xFF800000, 1, 0x80000000, 0x3F800000]
        values = (
            np.array(bits, "u4").view("f4")
            if kind.itemsize == 4
            else np.array([0x7FF8000000000001, 1], "u8").view("f8")
        )
        plain = np.array([0.0, -0.0, 1.5, -999.0, 1e20, 7.0, np.nan], kind)
        return np.concatenate([values.astype(kind.newbyteorder("=")), plain]).astype(kind)
    info = np.iinfo(kind)
    given = [info.min, info.max, 0, 1, 7, 100, -1, -999, 999, 2**53, 2**53 + 1, 65535, 255]
    return np.array([v for v in given if info.min <= v <= info.max], kind)


def forms() -> dict[str, tuple[np.ndarray, dict[str, Any]]]:
    found: dict[str, tuple[np.ndarray, dict[str, Any]]] = {}

    def add(of: str, /, **attributes: Any) -> None:
        name = " ".join([of, *(f"{k}={v!r}" for k, v in attributes.items())])
        found[name] = extremes(of), attributes

    for dtype in ("i1", "u1", "<i2", ">i2", "<u2", ">i4", "<u4", "<i8", "<u8", "<f4", ">f4", "<f8"):
        own = np.dtype(dtype).newbyteorder("=").type
        add(dtype)
        add(dtype, _FillValue=own(7))
        add(dtype, missing_value=own(1), _FillValue=own(7))
        add(dtype, scale_factor=F4(0.1), add_offset=F4(3.0))
        add(dtype, scale_factor=F8(0.1), add_offset=F8(3.0), _FillValue=own(7))
        add(dtype, scale_factor=F4(-1.0))
        add(dtype, add_offset=F8(0.0))
        add(dtype, scale_factor=F4(0.1), add_offset=F8(1.0))
    for dtype in ("<i2", "i1"):
        add(dtype, _Unsigned="true")
        add(dtype, _Unsigned="true", _FillValue=np.dtype(dtype).type(-1))
        add(dtype, _Unsigned="true", missing_value=np.dtype(dtype).type(-1), scale_factor=F4(0.5), add_offset=F4(0))
    add("u1", _Unsigned="false", _FillValue=np.uint8(255))
    add("<f4", missing_value=F8(1e20))
    add("<f4", missing_value=np.array([-999.0, 7.0], "f4"))
    add("<f4", _FillValue=F4(np.nan), scale_factor=F8(0.1), add_offset=F8(2.0))
    add("<i8", _FillValue=np.int64(2**53))
    add("i1", dtype="bool")
    add("<i2", scale_factor=np.int32(3))
    add("<i2", scale_factor=np.int16(300))
    add("<f4", _FillValue=F4(np.nan))
    return found


FORMS = forms()


def shown(name: str) -> xr.Variable:
    values, attributes = FORMS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = xr.decode_cf(xr.Dataset({"v": ("x", values, attributes)})).load()
    return dataset["v"].variable


def test_there_are_enough_forms() -> None:
    assert len(FORMS) >= 110


@pytest.mark.parametrize("name", FORMS)
def test_each_form(name: str) -> None:
    values, attributes = FORMS[name]
    before = values.tobytes()
    decoding = decoding_steps(values.dtype, attributes)
    got = decoding.template.apply(values, decoding.operands)
    expected = shown(name).values
    assert got.dtype == decoding.dtype == decoding.template.result(values.dtype) == expected.dtype.newbyteorder("=")
    assert got.tobytes() == expected.astype(expected.dtype.newbyteorder("=")).tobytes()
    assert values.tobytes() == before
    assert template_from_json(decoding.template.to_json()) == decoding.template
    bits = [int(one).bit_length() for one in decoding.operands]
    assert all(n <= 8 * dtype.itemsize for n, dtype in zip(bits, decoding.template.operand_dtypes, strict=True))


def test_each_pair() -> None:
    """What xarray makes of two arrays put together is each after its steps, converted to the common data type."""
    decoded = {name: shown(name) for name in FORMS}
    made = {}
    for name, (values, attributes) in FORMS.items():
        decoding = decoding_steps(values.dtype, attributes)
        made[name] = decoding.template.apply(values, decoding.operands)
    for one, other in itertools.product(FORMS, repeat=2):
        expected = xr.Variable.concat([decoded[one], decoded[other]], "x").values
        dtype = common_dtype([made[one].dtype, made[other].dtype])
        with np.errstate(all="ignore"):
            got = np.concatenate([made[one].astype(dtype), made[other].astype(dtype)])
        assert got.dtype == expected.dtype.newbyteorder("="), (one, other)
        assert got.tobytes() == expected.astype(expected.dtype.newbyteorder("=")).tobytes(), (one, other)


def test_an_integer_scale_beside_a_fill_value_is_refused() -> None:
    attributes = {"scale_factor": np.int32(3), "_FillValue": np.int16(7)}
    with pytest.raises(Unsupported, match="NaN has no place"):
        decoding_steps(np.dtype("i2"), attributes)
    with pytest.raises(ValueError, match="NaN"):
        xr.decode_cf(xr.Dataset({"v": ("x", extremes("<i2"), attributes)})).load()


def test_a_plain_integer_beyond_the_data_equals_nothing() -> None:
    decoding = decoding_steps(np.dtype("i1"), {"_FillValue": 999})
    assert decoding.template.apply(np.array([1, -25], "i1"), decoding.operands).tolist() == [1.0, -25.0]


def test_integers_of_64_bits_that_become_floats_are_said_to() -> None:
    assert decoding_steps(np.dtype("i8"), {"_FillValue": np.int64(1)}).lossy
    assert not decoding_steps(np.dtype("i4"), {"_FillValue": np.int32(1)}).lossy


def test_times_keep_their_integers() -> None:
    decoding = decoding_steps(np.dtype("i4"), {"_FillValue": np.int32(7)}, times=True)
    got = decoding.template.apply(np.array([1, 7], "i4"), decoding.operands)
    assert got.tolist() == [1, np.iinfo("i8").min]


def test_what_is_missing_has_no_place() -> None:
    with pytest.raises(Unsupported):
        promoted(np.dtype("?"))
    with pytest.raises(Unsupported):
        promoted(np.dtype("S3"))
    with pytest.raises(Unsupported):
        common_dtype([np.dtype("M8[ns]"), np.dtype("f4")])
    assert common_dtype([np.dtype("i2"), np.dtype("u2"), np.dtype("f4")]) == np.dtype("f4")
