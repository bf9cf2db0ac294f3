"""Failures that concern all sources end a run, told as one; those of single files do not."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest

from refmaker.batch.ledger import Row, Status
from refmaker.batch.shared_failures import IN_A_ROW, SharedFailures, shared_failure
from refmaker.errors import OutputError, SourceError
from refmaker.manifest.manifest import Target


class Answered(Exception):
    def __init__(self, code: str | None = None, status: int | None = None) -> None:
        super().__init__(code)
        self.response = {"Error": {"Code": code}}
        self.status = status


def caused(cause: BaseException, kind: type[Exception] = SourceError) -> Exception:
    error = kind("cannot be read")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (caused(Answered("ExpiredToken")), "CredentialsFailed"),
        (caused(caused(Answered("SignatureDoesNotMatch"), PermissionError)), "CredentialsFailed"),
        (caused(Answered(status=401)), "CredentialsFailed"),
        (caused(socket.gaierror(-2, "unknown")), "NameNotResolved"),
        (caused(ConnectionRefusedError(errno.ECONNREFUSED, "no")), "ServerUnreachable"),
        (caused(OSError(errno.ENOSPC, "full"), OutputError), "DiskFull"),
        (caused(OSError(errno.EDQUOT, "full"), OutputError), "QuotaExceeded"),
        (caused(Answered("AccessDenied", 403)), None),
        (caused(Answered("NoSuchKey", 404)), None),
        (caused(FileNotFoundError(errno.ENOENT, "gone")), None),
        (caused(TimeoutError()), None),
        (SourceError("No space left on device"), None),
    ],
)
def test_what_concerns_all(error: Exception, kind: str | None) -> None:
    assert shared_failure(error) == kind


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("status code: 400 Bad Request: <Error><Code>ExpiredToken</Code></Error>", "CredentialsFailed"),
        ("inner: Http(HttpError { kind: Connect, source: dns error })", "NameNotResolved"),
        ("inner: Http(HttpError { kind: Connect, source: tcp })", "ServerUnreachable"),
        ("inner: Http(HttpError { kind: Decode, source: body })", None),
    ],
)
def test_what_obstore_says(said: str, kind: str | None) -> None:
    from refmaker.stores.obstore_s3 import ObstoreError

    assert shared_failure(caused(ObstoreError(said, 400 if "400" in said else None))) == kind


def row(number: int, kind: str | None) -> Row:
    status: Status = "done" if kind is None else "failed"
    made = Row(Target(f"s3://b/{number}.nc"), f"{number}.json", status)
    made.error_kind = made.error = kind
    return made


def told(kinds: list[str | None], one_server: bool = True) -> tuple[list[int], Any]:
    shared = SharedFailures(one_server=one_server)
    shown = [one for number, kind in enumerate(kinds) for one in shared.take(row(number, kind))]
    return [int(one.output.removesuffix(".json")) for one in shown], shared


def test_a_few_in_a_row_end_the_run_and_are_not_told_one_by_one() -> None:
    shown, shared = told([None, *["CredentialsFailed"] * IN_A_ROW])
    assert shown == [0]
    assert shared.reason is not None
    assert "CredentialsFailed" in shared.reason


@pytest.mark.parametrize("between", [None, "SourceError", "DiskFull"])
def test_what_lies_between_shows_that_not_all_fail(between: str | None) -> None:
    few = ["CredentialsFailed"] * (IN_A_ROW - 1)
    shown, shared = told([*few, between, *few])
    assert shared.reason is None
    rest = [int(one.output.removesuffix(".json")) for one in shared.rest()]
    assert shown + rest == list(range(2 * IN_A_ROW - 1))  # all of them, in their order


def test_of_several_servers_one_may_be_away() -> None:
    assert told(["ServerUnreachable"] * 50, one_server=False)[1].reason is None
    assert told(["DiskFull"] * IN_A_ROW, one_server=False)[1].reason is not None


def test_errors_of_obstore_keep_what_tells_through_a_scan() -> None:
    """Errors leave out causes with long texts, and with them all that they would tell."""
    from refmaker.errors import redact_error
    from refmaker.stores.obstore_s3 import ObstoreError

    page = "status code: 403 Forbidden: <Error><Code>ExpiredToken</Code></Error>\n" + "Debug source:\n" * 500
    error = SourceError("cannot be reached")
    error.__cause__ = ObstoreError(page, 403)
    redact_error(error, ["a-secret"])
    assert shared_failure(error) == "CredentialsFailed"
