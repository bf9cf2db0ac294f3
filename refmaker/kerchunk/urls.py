"""The targets of a kerchunk manifest: urls, templates, and what the member `refmaker` says of them.

Contract: templates are plain substitution of `{{name}}`. Anything else between double braces would have to be
evaluated by a template engine, and is a `ManifestError`; so is a url that they make longer than urls are, and more of
them than memory is for. Source: kerchunk documentation, "References specification".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from refmaker import limits
from refmaker.errors import ManifestError
from refmaker.manifest.manifest import Target
from refmaker.zarr.strict_json import malformed, shown

__all__ = ["UrlTable", "url_table"]


_TEMPLATE = re.compile(r"\{\{\s*([^{}\s]+)\s*\}\}")


class UrlTable(dict[str, int]):
    """Index into `targets`, by url as a reference spells it: a url not met before is resolved when it is asked for.

    Parameters
    ----------
    templates
        Name -> text that stands for it.
    source
        Named in errors.

    Attributes
    ----------
    closed
        There are no other targets than those added so far.
    made
        Characters that templates have made.
    """

    def __init__(self, templates: Mapping[str, str], source: str) -> None:
        super().__init__()
        self.templates = templates
        self.source = source
        self.targets: list[Target] = []
        self.indices: dict[str, int] = {}
        self.closed = False
        self.made = 0

    def __missing__(self, as_written: str) -> int:
        url = self._expanded(as_written)
        if url not in self.indices:
            self.add(Target(url))
        index = self[as_written] = self.indices[url]
        return index

    def _error(self, message: str, expected: str, got: object) -> ManifestError:
        return malformed(message, structure="url of a target", expected=expected, got=got, source=self.source)

    def add(self, target: Target) -> None:
        """Put a target at the end of the table."""
        if self.closed:
            raise self._error("reference to a target that is not listed", "one of refmaker.targets", target.url)
        if not target.url or target.url in self.indices:
            raise self._error("empty, or listed twice", "a url", target.url)
        try:
            target.url.encode()
        except UnicodeEncodeError as error:
            raise self._error("text with a lone surrogate", "UTF-8", target.url) from error
        self.indices[target.url] = len(self.targets)
        self.targets.append(target)

    def _expanded(self, as_written: str) -> str:
        """Put templates in. Where there are none, a url is literal: other readers of the format do the same."""
        if not self.templates or "{" not in as_written:
            return as_written
        parts = _TEMPLATE.split(as_written)  # literal, name, literal, ... literal
        if any(mark in literal for literal in parts[::2] for mark in ("{{", "}}", "{%", "{#")):
            raise self._error("template calls are not supported", "{{name}}", as_written)
        for name in parts[1::2]:
            if name not in self.templates or "{{" in self.templates[name]:
                raise self._error(f"no plain template {name!r}", shown(sorted(self.templates)), as_written)
        parts[1::2] = [self.templates[name] for name in parts[1::2]]
        length = sum(map(len, parts))
        if length > limits.TEMPLATED_URL:
            expected = f"at most {limits.TEMPLATED_URL} characters"
            raise self._error("templates make too long a url", expected, f"{length} from {shown(as_written)}")
        self.made += length
        if self.made > limits.TEMPLATED:
            message = f"templates make too much; {limits.ENVIRONMENT}=templated=… sets another limit"
            raise self._error(message, f"at most {limits.TEMPLATED} characters in all", as_written)
        return "".join(parts)


def url_table(templates: Mapping[str, str], extension: Mapping[str, Any], source: str) -> UrlTable:
    """Make the table of a manifest: where it has the member `refmaker`, there are no targets but those listed there."""
    table = UrlTable(templates, source)
    if extension:
        records = extension.get("targets", [])
        if not isinstance(records, list):
            raise malformed("bad member", structure="refmaker.targets", expected="a list", got=records, source=source)
        for record in records:
            table.add(_target(record, source))
        table.closed = True
    return table


def _target(record: object, source: str) -> Target:
    def require(holds: bool, what: str, expected: str) -> None:
        if not holds:
            raise malformed(f"bad {what}", structure="refmaker.targets", expected=expected, got=record, source=source)

    if not isinstance(record, dict):
        raise malformed("bad target", structure="refmaker.targets", expected="an object", got=record, source=source)
    url, size, etag, mtime = (record.get(name) for name in ("url", "size", "etag", "mtime"))
    require(isinstance(url, str), "url", "a string")
    require(size is None or (type(size) is int and 0 <= size < 2**64), "size", "an integer in [0, 2**64)")
    require(isinstance(etag, str | None), "etag", "a string")
    require(mtime is None or (type(mtime) in (int, float) and abs(mtime) < 2**63), "mtime", "seconds since 1970")
    return Target(str(url), size, etag, mtime)
