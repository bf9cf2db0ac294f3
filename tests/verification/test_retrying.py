"""Originals on servers that ask for patience: tried again by the one policy, counted, and said when it was in vain."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable

import pytest

from refmaker.errors import SourceError
from refmaker.retry import RetryPolicy
from refmaker.verification.retrying import CountedRetries, PatientFile

QUICK = RetryPolicy(attempts=3, pause=0.001, longest_pause=0.002)


class Answered(Exception):
    """As aiohttp's `ClientResponseError` says what a server answered."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


def failing(*errors: Exception) -> Callable[[], str]:
    left = list(errors)

    def work() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return work


def hidden(error: Exception) -> Exception:
    """As fsspec says of any answer that there is no such file."""
    try:
        try:
            raise error
        except type(error):
            raise FileNotFoundError("u")  # noqa: B904
    except FileNotFoundError as found:
        return found


@pytest.mark.parametrize("error", [
    Answered(503), hidden(Answered(503)), ConnectionResetError(), OSError(errno.EBUSY, "busy"), OSError("SlowDown: …"),
])  # fmt: skip
def test_what_may_pass_is_tried_again_and_counted(error: Exception) -> None:
    retries = CountedRetries(QUICK)
    assert retries(failing(error, error)) == "done"
    assert retries.repeated == 2
    with pytest.raises(SourceError, match="in 3 attempts") as caught:
        retries(failing(*[error] * 9))
    assert retries.repeated == 4
    assert "FileNotFoundError" not in str(caught.value)


@pytest.mark.parametrize("error", [Answered(404), hidden(Answered(404)), FileNotFoundError("u"), KeyError("x")])
def test_what_lasts_is_raised_as_it_is(error: Exception) -> None:
    retries = CountedRetries(QUICK)
    with pytest.raises(type(error)) as caught:
        retries(failing(error))
    assert caught.value is error
    assert retries.repeated == 0


def test_a_file_is_read_on_after_failures() -> None:
    class Shaky(io.BytesIO):
        size = 10
        left = 2

        def read(self, size: int | None = -1) -> bytes:
            if self.left:
                self.left -= 1
                raise ConnectionResetError
            return super().read(size)

    retries = CountedRetries(QUICK)
    with io.BufferedReader(PatientFile(Shaky(b"0123456789"), retries)) as file:
        file.seek(-4, io.SEEK_END)
        assert file.read() == b"6789"
    assert retries.repeated == 2
