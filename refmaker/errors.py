"""What can go wrong, as exceptions that say where.

Contract: every failure that refmaker can explain is a `RefmakerError`. None of them derives from `OSError`,
`KeyError` or `FileNotFoundError`, because Zarr readers take those for "this chunk is missing" and would put the
fill value in place of data.

A decoder raises `FormatError` (the bytes contradict the specification), `TruncatedError` (the bytes end too early) or
`Unsupported` (understood, but it cannot be expressed: a refusal). The walker adds the path of the object.

No error shows the logins and signatures of urls, whatever its parts hold of them.
"""

from __future__ import annotations

from collections.abc import Iterable

from refmaker.redaction import redact

__all__ = [
    "BatchError",
    "EngineError",
    "FormatError",
    "ManifestError",
    "OutputError",
    "RefmakerError",
    "SourceError",
    "TargetChanged",
    "TruncatedError",
    "Unsupported",
    "redact_error",
]


class RefmakerError(Exception):
    """Base of every error that refmaker raises on purpose.

    Parameters
    ----------
    message
        One line that a user can act on, without the location.
    path
        Path of the HDF5 object, or of the Zarr array, concerned.
    address
        Byte address in the source file.
    structure
        The structure of the format specification being read, in its words.
    expected, got
        What the specification asks for, and what is there.
    source
        Url or file name of the source.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        address: int | None = None,
        structure: str | None = None,
        expected: object = None,
        got: object = None,
        source: str | None = None,
    ) -> None:
        message = redact(message)
        super().__init__(message)
        self.message = message
        self.path = path
        self.address = address
        self.structure = structure
        self.expected = expected
        self.got = got
        self.source = source

    def __str__(self) -> str:
        where = [] if self.source is None else [f"{self.source}: "]
        if self.path is not None:
            where.append(f"{self.path}: ")
        if self.structure is not None:
            where.append(self.structure)
            where.append(f" at address {self.address}: " if self.address is not None else ": ")
        elif self.address is not None:
            where.append(f"address {self.address}: ")
        what = ""
        if self.expected is not None:
            what += f" (expected {self.expected}, got {self.got})"
        elif self.got is not None:
            what += f" (got {self.got})"
        return redact("".join(where) + self.message + what)


class FormatError(RefmakerError):
    """The bytes contradict the format specification."""


class TruncatedError(FormatError):
    """A structure reaches beyond the end of the file, or of the block that holds it."""


class Unsupported(RefmakerError):
    """Understood, but not expressible: the reason why an object is refused."""


class SourceError(RefmakerError):
    """A source or target could not be read: unreachable, refused, too short, timed out."""


class TargetChanged(SourceError):
    """A target is no longer the file that was scanned."""


class ManifestError(RefmakerError):
    """A manifest is not what its format asks for."""


class OutputError(RefmakerError):
    """An output could not be written."""


class BatchError(RefmakerError):
    """A batch cannot begin or go on: another one runs, names collide, the ledger cannot be used."""


class EngineError(RefmakerError):
    """An engine cannot work: processes do not start, a cluster is not reached or lost."""


def redact_error(error: RefmakerError, secrets: Iterable[str] = ()) -> None:
    """Leave out of an error what lets others in: `secrets`, and causes whose text has them or secrets of urls."""
    secrets = frozenset(secrets)
    error.message = redact(error.message, secrets)
    error.args = (error.message,)
    for name in ("expected", "got"):
        value = getattr(error, name)
        if isinstance(value, str):
            setattr(error, name, redact(value, secrets))
    error.source = None if error.source is None else redact(error.source, secrets)
    cause: BaseException | None = error
    while cause is not None:
        following = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
        if following is not None and redact(repr(following) + str(following), secrets) != repr(following) + str(
            following
        ):
            cause.__cause__, cause.__suppress_context__ = None, True
            return
        cause = following
