"""Strict JSON in and out.

Contract: what is written is UTF-8 text that any JSON parser accepts (RFC 8259): no NaN, no infinity, no lone surrogate.
What is read may hold the bare `NaN` and `Infinity` that Python's writers emit; they come out as the strings "NaN",
"Infinity" and "-Infinity", which is how Zarr spells such a fill value. A key that stands twice in an
object and says two things is refused. Every failure is a `ManifestError`.
"""

from __future__ import annotations

import json
import math
import reprlib
from typing import Any

from refmaker.errors import ManifestError

__all__ = ["encoded", "key_name", "malformed", "members", "parse", "parse_at", "shown", "text", "utf8_checked"]

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise ValueError(f"number beyond the range of a double: {number[:40]}")
    return value


class _TwiceError(ValueError):
    """A key stands twice and says two things."""


def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object. A key may stand twice if it says the same: which of two is meant is a guess."""
    found = dict(pairs)
    if len(found) != len(pairs):
        for key, value in pairs:
            if found[key] is not value and json.dumps(found[key], sort_keys=True) != json.dumps(value, sort_keys=True):
                raise _TwiceError(f"{key_name(key)} stands twice, as {shown(value)} and as {shown(found[key])}")
    return found


_DECODER = json.JSONDecoder(parse_constant=str, parse_float=_finite, object_pairs_hook=members)


def shown(value: object) -> str:
    """Return a short text of any value, for error messages."""
    return reprlib.repr(value)


def key_name(key: str) -> str:
    """Name a key of the manifest in error messages."""
    return f"key {key!r}" if len(key) <= 200 else f"key {key[:200]!r}…"


def malformed(message: str, *, structure: str, expected: str, got: object, source: str | None) -> ManifestError:
    """Make the error that says what JSON should have held; `structure` and `source` name where."""
    return ManifestError(message, structure=structure, expected=expected, got=shown(got), source=source)


def text(value: Any, *, structure: str) -> str:
    """Return the compact JSON text of `value`; `structure` names it in errors."""
    try:
        return _ENCODER.encode(value)
    except (ValueError, TypeError, RecursionError) as error:
        raise ManifestError(f"not expressible in strict JSON: {error}", structure=structure) from error


def encoded(value: Any, *, structure: str) -> bytes:
    """Return the compact JSON text of `value` in UTF-8; `structure` names it in errors."""
    try:
        return text(value, structure=structure).encode()
    except UnicodeEncodeError as error:
        raise ManifestError("text with a lone surrogate", structure=structure, got=shown(value)) from error


def parse(data: bytes | str, *, structure: str, source: str | None) -> Any:
    """Parse JSON in UTF-8; `structure` and `source` name it in errors."""
    try:
        return _DECODER.decode(data.decode("utf-8-sig") if isinstance(data, bytes) else data)
    except UnicodeDecodeError as error:
        message = f"not UTF-8 at byte {error.start}"
        raise ManifestError(message, structure=structure, source=source) from error
    except _TwiceError as error:
        raise ManifestError(str(error), structure=structure, source=source) from error
    except ValueError as error:
        raise ManifestError(f"not JSON: {error}", structure=structure, source=source) from error
    except RecursionError as error:
        raise ManifestError("JSON nested too deeply", structure=structure, source=source) from error


def utf8_checked(value: Any, *, structure: str, source: str | None) -> Any:
    """Return JSON that was read, if it can be written: escapes can spell text that UTF-8 does not have."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ManifestError("text with a lone surrogate", structure=structure, source=source) from error
    except RecursionError as error:
        raise ManifestError("JSON nested too deeply", structure=structure, source=source) from error
    return value


def parse_at(data: str, at: int) -> tuple[Any, int]:
    """Parse the JSON value that begins at a place; give it, and where it ends. A `ValueError` where there is none."""
    found: tuple[Any, int] = _DECODER.raw_decode(data, at)
    return found
