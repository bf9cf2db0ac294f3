"""Reports are JSON that every parser reads, whoever wrote them: `json` is the judge."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refmaker.report_json import report_json

DOCUMENTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Lone surrogates included: names of files that are not UTF-8.
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=())), inner),
)


@given(DOCUMENTS)
def test_what_is_written_is_what_is_read(content: Any) -> None:
    text = report_json(content)
    assert text.isascii()
    expected = json.loads(json.dumps(content))
    assert json.loads(text) == expected


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_number_that_json_has_not(value: float) -> None:
    with pytest.raises(ValueError, match="numbers that JSON has not"):
        report_json({"sources": [{"seconds": value}]})


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, object()])
def test_what_json_has_not_is_no_text(value: object) -> None:
    with pytest.raises(TypeError):
        report_json({"source": value})


def test_big_integers_and_lone_surrogates() -> None:
    content = {"chunks": 2**80, "least": -(2**63) - 1, "source": "caf\udce9.nc", "url": "s3://a/b"}
    text = report_json(content)
    assert json.loads(text) == content
    assert '"caf\\udce9.nc"' in text
    assert '"s3://a/b"' in text
