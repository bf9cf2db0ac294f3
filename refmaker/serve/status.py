"""Which status an error is answered with, and what is said of it.

Contract: 404 is for what the manifest does not record, and for nothing else: clients take it for a chunk that was never
written, and some take 403 and 410 for that, so that these are never sent. Sources: RFC 9110, section 15.
"""

from __future__ import annotations

from dataclasses import dataclass

from refmaker.errors import ManifestError, RefmakerError, SourceError, TargetChanged, Unsupported
from refmaker.report_json import report_json
from refmaker.serve.catalogue import NotServed

__all__ = ["BUSY", "Failure", "failure_of"]

_KINDS: tuple[tuple[type[Exception], int, str], ...] = (
    (TargetChanged, 409, "changed"),
    (Unsupported, 501, "refused"),
    (SourceError, 502, "source"),
    (ManifestError, 500, "manifest"),
    (RefmakerError, 502, "decoding"),
)


@dataclass(frozen=True, slots=True)
class Failure:
    """An answer that is none: its status, a word for its cause, and what happened."""

    status: int
    cause: str
    message: str

    def body(self, key: str) -> bytes:
        """Return the JSON that is sent."""
        return report_json({"error": self.cause, "message": self.message, "key": key}).encode(
            "ascii", "backslashreplace"
        )


BUSY = Failure(503, "busy", "too many requests wait for memory; try again")


def failure_of(error: Exception) -> Failure:
    """Return how an error is answered.

    Examples
    --------
    >>> failure_of(FileNotFoundError()).status, failure_of(SourceError("no answer")).status
    (404, 502)
    """
    if isinstance(error, FileNotFoundError):
        return Failure(404, "absent", "the manifest records nothing under this key")
    if isinstance(error, NotServed):
        if error.chunk:
            return Failure(502, "gone", "no manifest of this name is served: if it was, it is gone or has another name")
        return Failure(404, "absent", "no manifest of this name is served")
    for kind, status, cause in _KINDS:
        if isinstance(error, kind):
            return Failure(status, cause, str(error))
    raise error
