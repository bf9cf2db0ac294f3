from __future__ import annotations

import json

import pytest

from refmaker.errors import FormatError, ManifestError, SourceError, TargetChanged, TruncatedError, Unsupported
from refmaker.serve.catalogue import NotServed
from refmaker.serve.status import failure_of


@pytest.mark.parametrize(
    ("error", "status", "cause"),
    [
        (FileNotFoundError("t/0"), 404, "absent"),
        (NotServed("a", chunk=False), 404, "absent"),
        (NotServed("a/t/0", chunk=True), 502, "gone"),
        (TargetChanged("changed"), 409, "changed"),
        (SourceError("no answer"), 502, "source"),
        (Unsupported("refused"), 501, "refused"),
        (ManifestError("malformed"), 500, "manifest"),
        (FormatError("damaged"), 502, "decoding"),
        (TruncatedError("cut"), 502, "decoding"),
    ],
)
def test_statuses(error: Exception, status: int, cause: str) -> None:
    found = failure_of(error)
    assert (found.status, found.cause) == (status, cause)
    assert json.loads(found.body("t/0"))["key"] == "t/0"


def test_what_is_no_answer_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        failure_of(ZeroDivisionError())


def test_secrets_are_not_said() -> None:
    error = SourceError("cannot be read", source="https://user:pass@host/a.nc?sig=secret")
    assert b"pass" not in failure_of(error).body("k")
    assert b"secret" not in failure_of(error).body("k")
