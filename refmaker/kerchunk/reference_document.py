"""Reference documents as fsspec's `ReferenceFileSystem` takes them: what its users may ask for beside a plain manifest.

Contract: what was asked for is done to the document before the reader of manifests sees it, which decides about all
else. Metadata that stand in other files are named, and read by the caller, who knows what may be read. References that
are no chunk of any array are taken only when that is asked for, and counted in the manifest's history.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import index
from typing import Any, Literal

from refmaker import limits
from refmaker.errors import ManifestError
from refmaker.kerchunk.generators import generated
from refmaker.kerchunk.json_reader import read_json
from refmaker.kerchunk.nodes import LEAVES, MetadataElsewhereError
from refmaker.kerchunk.urls import UrlTable
from refmaker.manifest.manifest import Manifest, Target
from refmaker.manifest.references import ByteRange
from refmaker.zarr.keys import check_key
from refmaker.zarr.strict_json import key_name, malformed, parse

__all__ = ["MetadataElsewhereError", "Reading", "as_text", "metadata_elsewhere", "read_document"]

_CHUNK = re.compile(r"(?:c[/.])?\d+(?:[/.]\d+)*")
"""What keys of chunks look like, of whatever array."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the opener of a manifest asks for.

    Attributes
    ----------
    template_overrides
        Name -> text, in the place of the templates of those names, or beside them.
    target
        Url for references whose url is null.
    strict
        Refuse references that are no chunk of any array.
    metadata
        Key -> text of metadata that stand in other files, once these are read.
    missing_shards
        What a shard of a foreign Parquet set means that is not there: an error, or that nothing is recorded.
    """

    template_overrides: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None
    strict: bool = True
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    missing_shards: Literal["error", "empty"] = "error"

    @property
    def is_plain(self) -> bool:
        """Whether nothing is asked for, so that the manifest may be read, and kept, as everybody reads it."""
        return not self.template_overrides and self.target is None and self.strict and not self.metadata


def as_text(document: Mapping[Any, Any]) -> bytes:
    """Return a document made in memory as JSON; bytes in it are data, or `base64:` and data, as fsspec has it."""
    try:
        return json.dumps(document, default=_spelled).encode()
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"not a reference document: {error}", source="manifest in memory") from error


def _spelled(value: Any) -> Any:
    """Spell what JSON has no form for: bytes, what fsspec turns into bytes, NumPy's integers, mappings."""
    if hasattr(value, "to_bytes") and not hasattr(value, "__index__"):
        value = value.to_bytes()
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
        if data.startswith(b"base64:"):
            return data.decode("ascii", "backslashreplace")
        return f"base64:{b64encode(data).decode()}"
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "__index__"):
        return index(value)
    raise TypeError(f"a reference document cannot hold {type(value).__name__}")


def read_document(data: bytes, source: str, reading: Reading) -> tuple[Manifest, dict[str, ByteRange]]:
    """Read kerchunk JSON with what the opener asks for.

    Returns
    -------
    manifest, loose
        Its targets are those of `loose` too: the references that are no chunk, by key.

    Raises
    ------
    ManifestError
        As `read_json` does; a template is overridden in a manifest that has none.
    """
    if reading.is_plain:
        return read_json(data, source=source), {}
    document = parse(data, structure="manifest", source=source)
    refs = _references(document)
    if refs is None:
        return read_json(data, source=source), {}  # which says what is wrong
    templates = _templates(document, reading, source)
    refs.update({key: text.decode("utf-8", "surrogateescape") for key, text in reading.metadata.items() if key in refs})
    if reading.target is not None:
        _fill(document, refs, reading.target)
    loose = {} if reading.strict else _loose(_expanded(document, refs, templates, source))
    manifest = read_json(json.dumps(document).encode("utf-8", "surrogatepass"), source=source)
    if not loose:
        return manifest, {}
    if isinstance(document.get("refmaker"), dict):
        message = "a manifest of refmaker has no references that are no chunk"
        raise ManifestError(message, source=source, got=next(iter(loose)))
    return manifest, _numbered(loose, manifest, UrlTable(templates, source))


def metadata_elsewhere(data: bytes, source: str, reading: Reading) -> tuple[list[Target], dict[str, ByteRange]]:
    """Return the metadata that stand in other files: targets, and for each key where in them.

    Raises
    ------
    ManifestError
        There are more of them than a manifest may have.
    """
    document = parse(data, structure="manifest", source=source)
    refs = _references(document)
    if refs is None:
        return [], {}
    table = UrlTable(_templates(document, reading, source), source)
    if reading.target is not None:
        _fill(document, refs, reading.target)
    found = {
        key: _reference(key, value, table)
        for key, value in refs.items()
        if isinstance(value, list) and key.rpartition("/")[2] in LEAVES and not key.endswith(".zmetadata")
    }
    if len(found) > limits.METADATA_ELSEWHERE:
        expected = f"at most {limits.METADATA_ELSEWHERE}"
        raise ManifestError("too many metadata stand in other files", source=source, expected=expected, got=len(found))
    return table.targets, found


def _references(document: Any) -> dict[str, Any] | None:
    """Return the references of a document, of version 1 or 0; None where it has none."""
    if not isinstance(document, dict):
        return None
    if "version" not in document:
        return None if isinstance(document.get("refs"), dict) else document
    refs = document.setdefault("refs", {})
    return refs if isinstance(refs, dict) else None


def _templates(document: dict[str, Any], reading: Reading, source: str) -> dict[str, str]:
    """Put the templates of the opener into a document; return all of them."""
    given = reading.template_overrides
    if "version" not in document:
        if given:
            raise ManifestError("template_overrides: a manifest of version 0 has no templates", source=source)
        return {}
    templates = document.get("templates", {})
    if not isinstance(templates, dict):
        raise malformed("bad member", structure="templates", expected="an object", got=templates, source=source)
    if given:
        templates = document["templates"] = {**templates, **given}
    return {name: text for name, text in templates.items() if isinstance(text, str)}


def _fill(document: dict[str, Any], refs: dict[str, Any], target: str) -> None:
    """Put a url in the place of every null."""
    for key, value in refs.items():
        if isinstance(value, list) and value and value[0] is None:
            refs[key] = [target, *value[1:]]


def _expanded(document: dict[str, Any], refs: dict[str, Any], templates: dict[str, str], source: str) -> dict[str, Any]:
    """Put what the generators of a document make into its references, so that they can be told from chunks."""
    if "version" in document:
        for key, value in generated(document.pop("gen", []), templates, source):
            if refs.setdefault(key, value) != value:
                message = "a generator makes another reference than there is under this key"
                raise malformed(message, structure=key_name(key), expected=refs[key], got=value, source=source)
    return refs


def _loose(refs: dict[str, Any]) -> dict[str, list[Any]]:
    """Take out of `refs` the references that can be no chunk: below no array, or of a name that no chunk has."""
    arrays = {
        key.rpartition("/")[0]
        for key, value in refs.items()
        if key.rpartition("/")[2] == ".zarray" or (key.rpartition("/")[2] == "zarr.json" and "array" in str(value))
    }
    found = {}
    for key, value in list(refs.items()):
        if isinstance(value, list) and key.rpartition("/")[2] not in LEAVES and not _may_be_chunk(key, arrays):
            found[key] = refs.pop(key)
    return found


def _may_be_chunk(key: str, arrays: set[str]) -> bool:
    path = key
    while path:
        path = path.rpartition("/")[0]
        if path in arrays:
            return _CHUNK.fullmatch(key[len(path) :].removeprefix("/")) is not None
    return False


def _numbered(loose: dict[str, list[Any]], manifest: Manifest, table: UrlTable) -> dict[str, ByteRange]:
    """Return the references that are no chunk, with their targets behind those of the manifest."""
    for target in manifest.targets:
        table.add(target)
    found = {}
    for key, value in loose.items():
        check_key(key, source=table.source)
        found[key] = _reference(key, value, table)
    manifest.targets = tuple(table.targets)
    manifest.history.append(f"read: {len(found)} references that are no chunk of any array")
    return found


def _reference(key: str, value: list[Any], table: UrlTable) -> ByteRange:
    """Return where data are, of a reference as the JSON has it."""
    expected = "[url], or [url, offset, size] of integers in [0, 2**63)"
    url = value[0] if value else None
    numbers = value[1:]
    if url is None and len(value) in (1, 3):
        message = "a reference without a url; give the url that is meant as target="
        raise malformed(message, structure=key_name(key), expected=expected, got=value, source=table.source)
    sound = all(type(number) is int and 0 <= number < 2**63 for number in numbers)
    if not isinstance(url, str) or len(numbers) not in (0, 2) or not sound:
        raise malformed("bad reference", structure=key_name(key), expected=expected, got=value, source=table.source)
    target = table[url]
    return ByteRange(target, numbers[0], numbers[1]) if numbers else ByteRange(target, 0, None)
