"""Digits of columns against Python's own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refmaker.kerchunk.digits import digit_groups, parse_indices, put_digits

numbers = st.one_of(
    st.integers(0, 2**64 - 1), st.integers(0, 10**5), st.sampled_from([10**k - d for k in range(20) for d in (0, 1)])
)


def texts(values, dtype="u8"):
    out = np.zeros((len(values), digit_groups(max(values))), "u4")
    put_digits(out, np.array(values, dtype))
    return [row.tobytes().translate(None, b"\0").decode() for row in out]


@settings(deadline=None, max_examples=200)
@given(st.lists(numbers, min_size=1, max_size=40))
def test_put_digits(values):
    assert texts(values) == [str(value) for value in values]


def test_put_digits_every_small_number():
    values = list(range(120_000))
    assert texts(values, "u4") == [str(value) for value in values]


@settings(deadline=None, max_examples=200)
@given(st.data(), st.integers(1, 5), st.sampled_from("./"))
def test_parse_indices(data, rank, separator):
    rows = data.draw(st.lists(st.lists(numbers, min_size=rank, max_size=rank), max_size=20))
    text = "".join(separator.join(map(str, row)) + "\n" for row in rows)
    parsed = parse_indices(text.encode(), rank, separator)
    capped = [[value if value < 10**19 else 2**64 - 1 for value in row] for row in rows]
    assert parsed is not None
    assert parsed.shape == (len(rows), rank)
    assert parsed.tolist() == capped


@pytest.mark.parametrize(
    "text",
    [
        "1",
        "1.2",
        "1.2.\n",
        ".2\n",
        "1.\n",
        "1.02\n",
        "00.1\n",
        "+1.2\n",
        "-1.2\n",
        "1.2\n\n",
        "1/2\n",
        "1. 2\n",
        "1\n2\n",
        "1.2\n3\n",
        "1.2\r\n",
        "1.2a\n",
        "1.2.3\n",
        "\n",
        "1\n.2\n",
        "1.2\n3.4",
        "1:2\n",
        "1.\x002\n",
    ],
)
def test_parse_indices_refuses(text):
    assert parse_indices(text.encode(), 2, ".") is None
