from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from h5py import h5t
from hypothesis import given, settings
from hypothesis import strategies as st

from refmaker.codecs.config import encode_config, make_plan, plan_from_json, plan_to_json
from refmaker.errors import FormatError, ManifestError, RefmakerError
from refmaker.model import Filter

from .stored import float_type, integer_type, message

I4 = integer_type(4, 32, 0)
DEFLATE = Filter(1, "deflate", True, (6,))


def base64_of(body: bytes) -> str:
    return base64.b64encode(body).decode()


def config(**changes: Any) -> dict[str, Any]:
    made = encode_config(I4, (3, 4), (Filter(2, "shuffle", False, (4,)), DEFLATE), "<i4")
    return {**made, **changes}


def test_form() -> None:
    assert encode_config(I4, (3, 4), (DEFLATE, Filter(32000, "lzf", False, ())), np.dtype(">i4")) == {
        "datatype": base64_of(I4),
        "chunk_shape": [3, 4],
        "filters": [[1, 1, "deflate", [6]], [32000, 0, "lzf", []]],
        "dtype": ">i4",
    }


@pytest.mark.parametrize(
    "arguments",
    [
        (I4, (3, 4), (DEFLATE,), "<i4"),
        (I4, (), (), "<i4"),
        (integer_type(3, 24, 0), (5,), (), ">u4"),
        (float_type(2, 16, 0, 8, 7, 127), (2**20, 3), (DEFLATE, DEFLATE), "<f4"),
        (message(h5t.py_create(np.dtype([("ä", "<i4")]))), (2,), (DEFLATE,), [["ä", "<i4"]]),
        (message(h5t.array_create(h5t.STD_I8LE, (2,))), (2,), (), {"base": "|i1", "shape": [2]}),
    ],
    ids=str,
)
def test_round_trip_through_json(arguments: Any) -> None:
    plan = make_plan(*arguments)
    assert plan_from_json(json.loads(json.dumps(plan_to_json(plan)))) == plan


def test_padding_of_a_dtype_is_dropped() -> None:
    padded = np.dtype({"names": ["a"], "formats": ["<i4"], "offsets": [4], "itemsize": 16})
    assert make_plan(message(h5t.py_create(padded)), (2,), (), padded).decoded_size == 8


@pytest.mark.parametrize(
    "changes",
    [
        {"more": 1},
        {"datatype": None},
        {"datatype": ""},
        {"datatype": "@@@@"},
        {"datatype": "é" * 12},
        {"datatype": base64_of(I4)[:-1]},
        {"datatype": base64_of(I4[:7])},
        {"datatype": base64_of(I4 + bytes(0x10000))},
        {"datatype": "A" * 10**6},
        {"datatype": base64_of(b"\x12" + I4[1:])},  # time
        {"datatype": base64_of(b"\x17" + I4[1:])},  # reference
        {"datatype": base64_of(b"\x19" + I4[1:])},  # variable-length
        {"datatype": base64_of(b"\x1f" + I4[1:])},
        {"datatype": base64_of(b"\x60" + I4[1:])},  # version 6
        {"datatype": base64_of(I4[:4] + bytes(4) + I4[8:])},  # size 0
        {"datatype": base64_of(I4[:4] + b"\xff" * 4 + I4[8:])},
        {"chunk_shape": None},
        {"chunk_shape": "34"},
        {"chunk_shape": [3, "4"]},
        {"chunk_shape": [3, 4.0]},
        {"chunk_shape": [3, True]},
        {"chunk_shape": [3, 0]},
        {"chunk_shape": [-3]},
        {"chunk_shape": [1] * 33},
        {"chunk_shape": [2**30]},
        {"chunk_shape": [2**32] * 8},
        {"chunk_shape": [10**400]},
        {"filters": None},
        {"filters": {}},
        {"filters": [[]]},
        {"filters": [[1, 0, "", []]] * 16},
        {"filters": [[1, 0, "", []]] * 1000},
        {"filters": [[0, 0, "", []]]},
        {"filters": [[65536, 0, "", []]]},
        {"filters": [["1", 0, "", []]]},
        {"filters": [[1, -1, "", []]]},
        {"filters": [[1, 0, None, []]]},
        {"filters": [[1, 0, "x" * 1025, []]]},
        {"filters": [[1, 0, "", [2**32]]]},
        {"filters": [[1, 0, "", [-1]]]},
        {"filters": [[1, 0, "", ["1"]]]},
        {"filters": [[1, 0, "", None]]},
        {"filters": [[1, 0, "", [1] * 20000]]},
        {"filters": [[1, 0, "", [1] * 10000], [1, 0, "", [1] * 10000]]},
        {"filters": [[1, 0, "", [], 1]]},
        {"dtype": None},
        {"dtype": "<i3"},
        {"dtype": "|O"},
        {"dtype": "|V2147483647"},  # 12 of them are too large
    ],
    ids=lambda changes: repr(changes)[:50],
)
def test_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ManifestError):
        plan_from_json(config(**changes))


def test_refused_when_something_is_missing() -> None:
    for key in config():
        with pytest.raises(ManifestError, match="members"):
            plan_from_json({k: v for k, v in config().items() if k != key})


def test_client_data_are_checked() -> None:
    with pytest.raises(FormatError, match="scale-offset"):
        plan_from_json(config(filters=[[6, 0, "", [0] * 20]]))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(key=st.sampled_from(["datatype", "chunk_shape", "filters", "dtype"]), value=json_values)
@settings(deadline=None, max_examples=150)
def test_anything_is_a_plan_or_an_error_of_ours(key: str, value: Any) -> None:
    with suppress(RefmakerError):
        plan_from_json(config(**{key: value}))
