"""Failures that callers tell apart, whatever the protocol."""

from __future__ import annotations

import pytest

from refmaker.retry import retry_after
from refmaker.stores.obstore_s3 import ObstoreError
from refmaker.stores.request import NoSuchRange, NotMatched


@pytest.mark.parametrize("error", [NotMatched("e"), NoSuchRange(5, "no")])
def test_what_lasts_is_not_asked_for_again(error: Exception) -> None:
    assert retry_after(error) is None


@pytest.mark.parametrize(
    ("said", "status", "passes"),
    [
        ("status code: 503", 503, True),
        ("status code: 403", 403, False),
        ("error sending request", None, True),
        ("UnexpectedRange", None, False),
    ],
)
def test_errors_of_obstore(said: str, status: int | None, passes: bool) -> None:
    assert (retry_after(ObstoreError(said, status)) is not None) == passes
