"""Failures that concern all sources of a run: what one met, the next would meet.

Contract: `shared_failure` names the kind of such a failure by what caused it, never by its text alone where there is
more; what may concern one file only (no permission for it, damage, a timeout) has none. `SharedFailures` counts those
that came one behind the other, and holds them back, so that they are told as one.

Sources: Amazon S3, error responses; RFC 4918, 11.5 (507); errno.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Iterator
from typing import Final

from refmaker.batch.ledger import Row

__all__ = ["IN_A_ROW", "SharedFailures", "shared_failure"]

IN_A_ROW: Final = 5
"""So many failures of one kind, with no source between them that did not fail so, end a run."""

CREDENTIALS: Final = "CredentialsFailed"
NAMES: Final = "NameNotResolved"
UNREACHABLE: Final = "ServerUnreachable"
DISK: Final = "DiskFull"
QUOTA: Final = "QuotaExceeded"
KINDS: Final = frozenset({CREDENTIALS, NAMES, UNREACHABLE, DISK, QUOTA})

_CODES: Final = {
    **dict.fromkeys(
        (
            *("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken", "InvalidAccessKeyId"),
            *("SignatureDoesNotMatch", "RequestTimeTooSkewed", "AuthenticationFailed", "InvalidAuthenticationInfo"),
        ),
        CREDENTIALS,
    ),
    **dict.fromkeys(("QuotaExceeded", "InsufficientStorage", "AccountProblem", "AllAccessDisabled"), QUOTA),
}
_STATUSES: Final = {401: CREDENTIALS, 507: QUOTA}
_ERRNOS: Final = {
    errno.ENOSPC: DISK,
    errno.EROFS: DISK,
    errno.EDQUOT: QUOTA,
    errno.ECONNREFUSED: UNREACHABLE,
    errno.ENETUNREACH: UNREACHABLE,
    errno.EHOSTUNREACH: UNREACHABLE,
}
_TYPES: Final = {
    **dict.fromkeys(
        ("NoCredentialsError", "PartialCredentialsError", "UnauthenticatedError", "RefreshError"), CREDENTIALS
    ),
    **dict.fromkeys(("ClientConnectorDNSError",), NAMES),
    **dict.fromkeys(("EndpointConnectionError", "ClientConnectorError", "ConnectTimeoutError"), UNREACHABLE),
}
"""By the names of classes of botocore, google-auth and aiohttp, so that the packages need not be there."""

_MARKS: Final = (("is_unresolved", NAMES), ("is_unreachable", UNREACHABLE))
"""Attributes of `refmaker.stores.obstore_s3.ObstoreError`."""

_DEPTH: Final = 10


def shared_failure(error: BaseException) -> str | None:
    """Return the kind of a failure that all sources have in common, None for one of a source itself."""
    for cause in _causes(error):
        found = _kind(cause)
        if found is not None:
            return found
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    for _ in range(_DEPTH):
        if cause is None:
            return
        yield cause
        inner = getattr(cause, "os_error", None)
        cause = inner if isinstance(inner, OSError) and inner is not cause else cause.__cause__ or cause.__context__


def _kind(error: BaseException) -> str | None:
    if isinstance(error, socket.gaierror):
        return NAMES
    if isinstance(error, OSError) and error.errno in _ERRNOS:
        return _ERRNOS[error.errno]
    response = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else getattr(error, "error_code", None)
    names = [kind.__name__ for kind in type(error).__mro__]
    found = _CODES.get(str(code)) or _STATUSES.get(getattr(error, "status", 0))
    found = found or next((_TYPES[name] for name in names if name in _TYPES), None)
    return found or next((kind for name, kind in _MARKS if getattr(error, name, False)), None)


class SharedFailures:
    """Failures of one kind that came one behind the other in a run.

    Parameters
    ----------
    one_server
        Whether all sources of the run are on one server: of several, one may be away without the others.
    """

    def __init__(self, *, one_server: bool) -> None:
        self.one_server = one_server
        self.rows: list[Row] = []

    def take(self, row: Row) -> Iterable[Row]:
        """Take a row; return those that are to be told now: all that are not held back, in their order."""
        if row.status == "failed" and row.error_kind in KINDS:
            others = [] if self._is_another(row) else self.rest()
            self.rows.append(row)
            return others
        return [*self.rest(), row]

    def _is_another(self, row: Row) -> bool:
        return not self.rows or self.rows[-1].error_kind == row.error_kind

    def rest(self) -> list[Row]:
        """Return those that are held back, and hold them no longer."""
        rows, self.rows = self.rows, []
        return rows

    @property
    def reason(self) -> str | None:
        """Why the run is to end; None where it may go on."""
        if len(self.rows) < IN_A_ROW:
            return None
        last = self.rows[-1]
        if not self.one_server and last.error_kind in (NAMES, UNREACHABLE, CREDENTIALS):
            return None
        return (
            f"{len(self.rows)} files in a row failed for a reason that concerns all of them, so the run has ended; "
            f"what is done is recorded. Put it right and run the command again. {last.error}"
        )
