"""What can go wrong, as exceptions that say where.

Contract: every failure that refmaker can explain is a `RefmakerError`. None of them derives from `OSError`,
`KeyError` or `FileNotFoundError`, because Zarr readers take those for "this chunk is missing" and would put the
fill value in place of data.

A decoder raises `FormatError` (the bytes contradict the specification), `TruncatedError` (the bytes end too early) or
`Unsupported` (understood, but it cannot be expressed: a refusal). The walker adds the path of the object.

No error shows the logins and signatures of urls, whatever its parts hold of them.
"""

from __future__ import annotations

import re
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
    "cause_of",
    "redact_error",
    "is_quotable",
    "printable",
]

_LONGEST = 4000
"""Characters of a message: what servers and libraries say goes into messages, and may be of any length."""

_LONGEST_VALUE = 500
"""Characters of what was expected, and of what was there instead."""

_LONGEST_CAUSE = 300
"""Characters of what a library says went wrong."""

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Characters that move a cursor, end a line or turn the direction of text."""


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
        message = redact(printable(message, _LONGEST))
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
            what += f" (expected {_value(self.expected)}, got {_value(self.got)})"
        elif self.got is not None:
            what += f" (got {_value(self.got)})"
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


def printable(text: str, most: int) -> str:
    """Return a text on one line, with control characters escaped and cut before the word that is too much."""
    if len(text) > most:
        # Of a url or a password that is cut in the middle, the rest could not be told to be a secret.
        text = text[: max(text.rfind(" ", 0, most), 0)] + " …"
    return text if text.isprintable() else _CONTROLS.sub(lambda match: ascii(match[0])[1:-1], text)


def cause_of(error: BaseException) -> str:
    """Return what an error of a library says: its first line, bounded, as it may quote what a server sent."""
    text = f"{type(error).__name__}: {error}".split("\n", 1)[0].removesuffix(": ")
    text = printable(text, _LONGEST_CAUSE)
    return text.encode("utf-8", "backslashreplace").decode()


def is_quotable(error: BaseException) -> bool:
    """Return whether a traceback may show an error of a library as it is: it is one short line without controls."""
    text = str(error)
    return len(text) <= _LONGEST_CAUSE and _CONTROLS.search(text) is None


def _value(value: object) -> str:
    text = printable(value if isinstance(value, str) else str(value), _LONGEST_VALUE)
    return text.encode("utf-8", "backslashreplace").decode()


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
        if following is not None and not _may_be_shown(following, secrets):
            cause.__cause__, cause.__suppress_context__ = None, True
            return
        cause = following


def _may_be_shown(error: BaseException, secrets: frozenset[str]) -> bool:
    """Return whether a traceback may show an error: it has no secrets, nor what a server sent at any length."""
    if not isinstance(error, RefmakerError) and not is_quotable(error):
        return False
    text = repr(error) + str(error)
    return redact(text, secrets) == text
