"""The member `refmaker` of a manifest document: targets as they were seen, refusals, history.

Contract: what stands there is checked when it is read; other readers ignore it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from refmaker import limits
from refmaker.manifest.manifest import Manifest
from refmaker.zarr.strict_json import malformed, utf8_checked

__all__ = ["EXTENSION_FORMAT", "check_extension", "extension_lines", "extension_notes", "member", "source_records"]


EXTENSION_FORMAT = 1
"""Version of the member `refmaker`."""


def member(document: Mapping[str, Any], name: str, source: str) -> dict[str, Any]:
    """Read a member that is an object; an empty one where there is none."""
    value = document.get(name, {})
    if not isinstance(value, dict):
        raise malformed("bad member", structure=name, expected="an object", got=value, source=source)
    return value


def check_extension(extension: Mapping[str, Any], source: str) -> None:
    """Make sure that the member `refmaker` is of the version that is read here, and is text."""
    got = extension.get("format")
    if type(got) is not int or got != EXTENSION_FORMAT:
        expected = str(EXTENSION_FORMAT)
        raise malformed("unknown format", structure="refmaker.format", expected=expected, got=got, source=source)
    utf8_checked(extension, structure="refmaker", source=source)


def extension_lines(
    extension: Mapping[str, Any], name: str, kind: type[list[Any]] | type[dict[str, Any]], source: str
) -> Any:
    """Read `refmaker.history` (a list of strings) or `refmaker.refusals` (an object of strings)."""
    value = extension.get(name, kind())
    if isinstance(value, kind):
        lines = value.values() if isinstance(value, dict) else value
        if all(isinstance(line, str) for line in lines):
            return value
    expected = f"a {kind.__name__} of strings"
    raise malformed("bad member", structure=f"refmaker.{name}", expected=expected, got=value, source=source)


def extension_notes(extension: Mapping[str, Any], source: str) -> list[str]:
    """Read `refmaker.notes`, a list of strings that manifests of earlier versions do not have."""
    lines: list[str] = extension_lines(extension, "notes", list, source)
    if len(lines) > limits.NOTES_KEPT:
        expected = f"at most {limits.NOTES_KEPT}"
        raise malformed("too many notes", structure="refmaker.notes", expected=expected, got=len(lines), source=source)
    return lines


def source_records(extension: Mapping[str, Any], manifest: Manifest, source: str) -> dict[str, tuple[int, str]]:
    """Read `refmaker.sources`: path of an array -> index of a target, and a path in it."""
    records = extension.get("sources", {})
    found: dict[str, tuple[int, str]] = {}
    for path, record in records.items() if isinstance(records, dict) else [("", records)]:
        target, name = record if isinstance(record, list) and len(record) == 2 else (-1, None)
        known = path in manifest.arrays and type(target) is int and 0 <= target < len(manifest.targets)
        if not known or not isinstance(name, str):
            expected = "path of an array -> [index of a target, path in it]"
            raise malformed(
                "bad member", structure="refmaker.sources", expected=expected, got={path: record}, source=source
            )
        found[path] = target, name
    return found
