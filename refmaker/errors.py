"""What can go wrong, as exceptions that say where.

Contract: every failure that refmaker can explain is a `RefmakerError`. None of them derives from `OSError`,
`KeyError` or `FileNotFoundError`, because Zarr readers take those for "this chunk is missing" and would put the
fill value in place of data.

The kinds, and what a caller does about them:

    RefmakerError
    ├── FormatError            the bytes are not what the format asks for
    │   └── TruncatedError     they end too early
    ├── Unsupported            understood, but no manifest can say it: a refusal
    ├── SourceError            a source or target cannot be read; may pass
    │   └── TargetChanged      it is no longer the file that was scanned: scan it again
    ├── ManifestError          a manifest is malformed, or cannot be written without loss
    ├── CombineError           inputs cannot be combined as asked; `mismatches` says why
    ├── OutputError            an output cannot be written; what stood there still does
    ├── BatchError             a batch cannot begin or go on
    └── EngineError            processes or a cluster do not work

`CombineError` is defined where combining is, all others here; each is in `refmaker` too. Mistakes of the caller are
Python's own: `TypeError` for an option that does not exist, `ValueError` for one that is out of range.

A decoder raises `FormatError` (the bytes contradict the specification), `TruncatedError` (the bytes end too early) or
`Unsupported` (understood, but it cannot be expressed: a refusal). The walker adds the path of the object.

No error shows the logins and signatures of urls, whatever its parts hold of them. Its text is one line of bounded
length without control characters, whatever a file or a server had put in. What raised it may say more: `concealing`
stands around every entrance of the library, and takes from the chain of causes what has secrets.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from refmaker import logs
from refmaker.redaction import redact, secrets_in, secrets_of

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
    "concealed",
    "concealing",
    "is_quotable",
    "printable",
]

P = ParamSpec("P")
T = TypeVar("T")

MESSAGE = 2000
"""Characters of a message: what servers and libraries say goes into messages, and may be of any length."""

PART = 500
"""Characters that the text of an error shows of each other part: a path, a url, what was found."""

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
        message = redact(printable(message, MESSAGE), () if source is None else secrets_in(source))
        super().__init__(message)
        self.message = message
        self.path = _shown(path)
        self.address = address
        self.structure = _shown(structure)
        self.expected = _shown(expected)
        self.got = _shown(got)
        self.source = source

    @property
    def source(self) -> str | None:
        """Url or file name of the source, without its secrets."""
        return self._source

    @source.setter
    def source(self, source: str | None) -> None:
        self._source = None if source is None else redact(source)

    def __str__(self) -> str:
        where = [] if self.source is None else [f"{_part(self.source)}: "]
        if self.path is not None:
            where.append(f"{_part(self.path)}: ")
        if self.structure is not None:
            where.append(_part(self.structure))
            where.append(f" at address {self.address}: " if self.address is not None else ": ")
        elif self.address is not None:
            where.append(f"address {self.address}: ")
        what = ""
        if self.expected is not None:
            what += f" (expected {_part(self.expected)}, got {_part(self.got)})"
        elif self.got is not None:
            what += f" (got {_part(self.got)})"
        return redact("".join(where) + self.message + what)


def _shown(part: Any) -> Any:
    """Return a part of an error without secrets of urls in it."""
    return redact(part) if isinstance(part, str) and "://" in part else part


def _part(part: object) -> str:
    return printable(str(part), PART).encode("utf-8", "backslashreplace").decode()


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
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def cause_of(error: BaseException) -> str:
    """Return what an error of a library says: its first line, bounded, as it may quote what a server sent."""
    text = f"{type(error).__name__}: {error}".split("\n", 1)[0].removesuffix(": ")
    text = printable(text, _LONGEST_CAUSE)
    return text.encode("utf-8", "backslashreplace").decode()


def is_quotable(error: BaseException) -> bool:
    """Return whether a traceback may show an error of a library as it is: it is one short line without controls."""
    text = str(error)
    return len(text) <= _LONGEST_CAUSE and _CONTROLS.search(text) is None


def concealed(function: Callable[P, T]) -> Callable[P, T]:
    """Have a function of a source, or of several, and of `storage_options` raise errors without their secrets."""

    @wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> T:
        first = args[0] if args else None
        options = kwargs.get("storage_options")
        with concealing(*(first if isinstance(first, list | tuple) else [first]), options=options):
            return function(*args, **kwargs)

    return inner


@contextmanager
def concealing(*urls: object, options: object = None) -> Iterator[None]:
    """Have errors leave a block without what lets others in: secrets of urls, of options, and of urls they name."""
    names = {os.fspath(url) for url in urls if isinstance(url, str | os.PathLike)}
    secrets = {secret for name in names if isinstance(name, str) for secret in secrets_in(name)}
    secrets |= secrets_of(options) if isinstance(options, Mapping) else set()
    if secrets:
        logs.remember(secrets)
    try:
        yield
    except RefmakerError as error:
        redact_error(error, secrets)
        raise


def redact_error(error: RefmakerError, secrets: Iterable[str] = ()) -> None:
    """Leave out of an error what lets others in: `secrets`, and causes whose text has them or secrets of urls."""
    _conceal(error, sorted(secrets, key=len, reverse=True), set())


def _conceal(error: BaseException, secrets: list[str], seen: set[int]) -> None:
    seen.add(id(error))
    if isinstance(error, RefmakerError):
        _clean(error, secrets)
    for link in ("__cause__", "__context__"):
        other = getattr(error, link)
        if other is None or id(other) in seen:
            continue
        if isinstance(other, RefmakerError):
            _clean(other, secrets)
        if _tells(other, secrets):
            silent = error.__suppress_context__ or link == "__cause__"
            setattr(error, link, None)
            error.__suppress_context__ = silent
        else:
            _conceal(other, secrets, seen)


def _clean(error: RefmakerError, secrets: list[str]) -> None:
    """Leave secrets out of what an error of this library says."""
    error.message = redact(error.message, secrets)
    error.args = (error.message,)
    for name in ("path", "structure", "expected", "got", "source"):
        value = getattr(error, name)
        if value is not None and redact(str(value), secrets) != str(value):
            setattr(error, name, redact(str(value), secrets))
    if notes := getattr(error, "__notes__", None):
        error.__notes__ = [redact(str(note), secrets) for note in notes]


def _tells(error: BaseException, secrets: list[str]) -> bool:
    """Return whether a traceback may not show an error: one that says a secret, or what a server sent at any length.

    Secrets may stand in its text, notes, arguments, attributes or members.
    """
    if not isinstance(error, RefmakerError) and not is_quotable(error):
        return True
    try:
        text = "\n".join([str(error), repr(error), repr(error.args), repr(vars(error))])
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):  # it may say anything
        return True
    if redact(text, secrets) != text:
        return True
    members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return any(
        _tells(inner, secrets)
        for member in members
        for inner in (member, member.__cause__, member.__context__)
        if inner
    )
