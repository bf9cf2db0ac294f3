from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from refmaker.errors import ManifestError
from refmaker.zarr.dtype_json import dtype_to_json, parse_dtype

DTYPES = [
    "<i4",
    ">u2",
    "|u1",
    "|b1",
    "<f2",
    ">f8",
    ">c16",
    "|S5",
    "|V7",
    "<M8[ns]",
    ">m8[25s]",
    "<M8",
    ("<f4", (2, 3)),
    [("a", "<i4"), ("ä b", "<f4", (2,))],
    [("a", [("b", [("c", "|u1", (2, 2))])]), ("d", ">i8")],
    ([("a", "<i4")], (3,)),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_round_trip(dtype: Any) -> None:
    dtype = np.dtype(dtype)
    assert parse_dtype(json.loads(json.dumps(dtype_to_json(dtype)))) == dtype


def test_structures_are_as_in_zarr_metadata() -> None:
    dtype = np.dtype([("a", "<i4"), ("b", "<f4", (2,))])
    assert dtype_to_json(dtype) == [["a", "<i4"], ["b", "<f4", [2]]]


def test_padding_is_dropped() -> None:
    padded = np.dtype({"names": ["a", "b"], "formats": ["u1", "<i4"], "offsets": [0, 4], "itemsize": 12})
    assert parse_dtype(dtype_to_json(padded)).itemsize == 5


@pytest.mark.parametrize(
    "value",
    [
        None,
        4,
        "",
        "i4",
        "<i3",
        "<f16",
        "|O8",
        "<U5",
        "|S0",
        "|V99999999999",
        "|V4294967295",
        "<M8[lightyears]",
        "<i4,<i4",
        "(2,3)<f4",
        "<i4\n",
        "int64",
        "{}",
        [],
        ["a", "<i4"],
        [["", "<i4"]],
        [["a", "<i4"], ["a", "<i4"]],
        [["a"]],
        [["a", "<i4", [2], 1]],
        [["a", "<i4", []]],
        [["a", "<i4", [0]]],
        [["a", "<i4", [True]]],
        [["a", "<i4", [-1]]],
        [["a", "<i4", [2**31]]],
        [["a", "<i4", [1] * 65]],
        [["a", "|V2000000000"], ["b", "|V2000000000"]],
        [["a", "<i4", 2]],
        {"base": "<i4"},
        {"base": "<i4", "shape": [2], "more": 1},
        {"base": {"base": "<i4", "shape": [1] * 64}, "shape": [1] * 65},
    ],
    ids=lambda value: repr(value)[:40],
)
def test_refused(value: object) -> None:
    with pytest.raises(ManifestError):
        parse_dtype(value)


@pytest.mark.parametrize("make", [lambda v: {"base": v, "shape": [1]}, lambda v: [["a", v]]])
def test_depth_is_bounded(make: Any) -> None:
    value: Any = "<i4"
    for _ in range(5000):
        value = make(value)
    with pytest.raises(ManifestError, match="deep"):
        parse_dtype(value)
