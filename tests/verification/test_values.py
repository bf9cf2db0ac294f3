"""What counts as the same value, and what does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from refmaker.verification.values import Rules, TypeMismatch, differing, plain

RULES = Rules(lambda reference, path: reference == ("object", path))
SPACES = Rules(RULES.same_object, spaces=True)


def objects(*items: Any) -> np.ndarray:
    array = np.empty(len(items), object)
    array[:] = items
    return array


def sequences(*items: Any) -> np.ndarray:
    array = np.empty(len(items), object)
    for i, item in enumerate(items):
        array[i] = item
    return array


PAIR = np.dtype([("a", "<i4"), ("b", "<f4")])
PARTS = np.dtype([("r", "<f8"), ("i", "<f8")])


@pytest.mark.parametrize(
    ("expected", "got", "different"),
    [
        (np.array([1, 2], "<i4"), np.array([1, 2], ">i4"), [0, 0]),
        (np.array([1, 2], "<i4"), np.array([1, 3], ">i4"), [0, 1]),
        (np.array([1, -2], "i2"), np.array([1, -2], "i8"), [0, 0]),
        (np.array([1, -2], "i2"), np.array([1, 65534], "i8"), [0, 1]),
        (np.array([True, False]), np.array([True, True]), [0, 1]),
        (np.array([np.nan, 1.0]), np.array([np.nan, 1.0]), [0, 0]),
        (np.array([np.nan, 1.0]), np.array([1.0, np.nan]), [1, 1]),
        (np.array([0.0, -0.0]), np.array([0.0, 0.0]), [0, 1]),
        (np.array([1.5, np.nan], "f4"), np.array([1.5, np.nan], "f8"), [0, 0]),
        (np.array([0x7FF80001, 0], "u4").view("f4"), np.array([np.nan, 0], "f4"), [0, 0]),
        (np.array([1 + 2j, 3 + 4j]), np.array([1 + 2j, 3 + 5j]), [0, 1]),
        (
            np.array([complex(np.nan, 1), complex(np.nan, 1)]),
            np.array([complex(np.nan, 1), complex(np.nan, 2)]),
            [0, 1],
        ),
        (np.array([b"a", b"bc"]), np.array([b"a", b"b"], "S5"), [0, 1]),
        (np.array([b"a", b"a"]), np.array([b"a", b"a "]), [0, 1]),
        (np.array([b"ab", b"cd"], "V2"), np.array([b"ab", b"cD"], "V2"), [0, 1]),
        (np.array([1, 2], "<M8[s]"), np.array([1, 3], ">M8[s]"), [0, 1]),
        (np.array(["NaT", 2], "m8[s]"), np.array(["NaT", 2], "m8[s]"), [0, 0]),
        (np.array([(1, 2), (3, 4)], PAIR), np.array([(1, 2), (3, 5)], PAIR.newbyteorder()), [0, 1]),
        (np.array([(1, 2), (3, 4)], PARTS), np.array([1 + 2j, 3]), [0, 1]),
        (np.array([1 + 2j, 3]), np.array([(1, 2), (3, 4)], PARTS), [0, 1]),
        (np.zeros(2, [("a", "i4", (2,))]), np.array([([0, 0],), ([0, 1],)], [("a", "i4", (2,))]), [0, 1]),
        (objects(b"\xc3\xa9", b"b"), objects("é", "B"), [0, 1]),
        (objects(b"x", b""), np.array(["x", ""], "T"), [0, 0]),
        (objects(b"", b"a"), objects(None, None), [0, 1]),
        (objects(b"1"), objects(1), [1]),
        (objects(b"a", b"b"), np.array([b"a", b"c"]), [0, 1]),
        (sequences(np.array([1, 2]), np.array([], "f4")), sequences(np.array([1, 2]), np.array([], "i4")), [0, 0]),
        (sequences(np.array([1, 2]), np.array([3])), sequences(np.array([1, 3]), np.array([3, 3])), [1, 1]),
        (sequences(np.array([1]), np.array([])), sequences(np.array([1.0]), None), [1, 0]),
        (objects(("object", "/a"), ("object", "/b")), objects("/a", "/c"), [0, 1]),
    ],
)
def test_differing(expected: np.ndarray, got: np.ndarray, different: list[int]) -> None:
    found = differing(expected, got, RULES)
    assert found.dtype == bool
    assert found.tolist() == [bool(x) for x in different]
    if expected.ndim:
        assert differing(expected[0:1].reshape(()), got[0:1].reshape(()), RULES).tolist() == bool(different[0])


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        (np.zeros(2, "i4"), np.zeros(3, "i4")),
        (np.zeros(2, "i4"), np.zeros(2, "u4")),
        (np.zeros(2, "i4"), np.zeros(2, "f4")),
        (np.zeros(2, "f4"), np.zeros(2, "c8")),
        (np.zeros(2, "b"), np.zeros(2, "?")),
        (np.zeros(2, "S1"), np.zeros(2, "i1")),
        (np.zeros(2, "V4"), np.zeros(2, "V8")),
        (np.zeros(2, "V4"), np.zeros(2, "i4")),
        (np.zeros(2, "M8[s]"), np.zeros(2, "M8[ms]")),
        (np.zeros(2, PAIR), np.zeros(2, PARTS)),
        (np.zeros(2, PAIR), np.zeros(2, "V8")),
        (np.zeros(2, "i8"), np.zeros(2, PAIR)),
        (objects(b"a"), np.zeros(1, "i4")),
    ],
)
def test_misfits(expected: np.ndarray, got: np.ndarray) -> None:
    with pytest.raises(TypeMismatch, match="in the file"):
        differing(expected, got, RULES)


def test_padding_with_spaces() -> None:
    expected, got = np.array([b"a", b" b", b"c"]), np.array([b"a  ", b"b", b"c"])
    assert differing(expected, got, SPACES).tolist() == [False, True, False]
    assert differing(expected, got, RULES).tolist() == [True, True, False]
    nested = [np.array(list(zip(x)), [("m", x.dtype)]) for x in (expected, got)]
    assert differing(nested[0], nested[1], SPACES).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (np.int32(5), 5),
        (np.float32(1.5), 1.5),
        (np.float64(np.nan), "nan"),
        (np.float64(-np.inf), "-inf"),
        (np.bool_(True), True),
        (b"a\xff\n", "a\\xff "),
        ("é", "é"),
        (np.complex64(1j), "1j"),
        (np.arange(200), str(np.arange(200)).replace("\n", " ")[:200] + "…"),
    ],
)
def test_plain(value: object, shown: object) -> None:
    found = plain(value)
    assert found == shown
    assert type(found) is type(shown)
