"""The references of a manifest as fsspec's `ReferenceFileSystem` shows them: a mapping from key to what it records.

Contract: a view, which cannot be written to. Made into a dict, it is a reference document of version 0 that any reader
of the format takes, and that says the same.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Iterator, Mapping

from refmaker import limits
from refmaker.errors import ManifestError
from refmaker.replay.loading import LoadedManifest, Pending
from refmaker.replay.targets import Access, ReadRequest, Targets

__all__ = ["ReferencesView", "with_metadata"]


class ReferencesView(Mapping[str, str | list[str | int]]):
    """Key -> text, data as `base64:…`, `[url]`, or `[url, offset, size]`.

    Keys of objects that the scan refused raise what reading them does; others that are not there `KeyError`.
    """

    def __init__(self, opened: LoadedManifest) -> None:
        self._opened = opened

    def __getitem__(self, key: str) -> str | list[str | int]:
        if not isinstance(key, str):
            raise KeyError(key)
        try:
            found = self._opened.lookup.find(key)
        except FileNotFoundError:
            raise KeyError(key) from None
        if isinstance(found, bytes):
            return _text(found)
        url = self._opened.lookup.manifest.targets[found.target].url
        return [url] if found.size is None else [url, found.offset, found.size]

    def __iter__(self) -> Iterator[str]:
        return iter(self._opened.listing.names(""))

    def __len__(self) -> int:
        return len(self._opened.listing.names(""))

    def __repr__(self) -> str:
        return f"<{len(self)} references>"


async def with_metadata(pending: Pending, access: Access) -> LoadedManifest:
    """Read the metadata of a manifest that stand in other files, as far as it may lead there; open it with them."""
    engine = await Targets(pending.targets, pending.location, access).engine()
    texts: dict[str, bytes] = {}
    for key, (target, offset, size) in pending.wanted.items():
        if (size or 0) <= limits.METADATA_SIZE:
            texts[key] = await engine.read(ReadRequest(key, target, offset, size))
            size = len(texts[key])
        if size is not None and size > limits.METADATA_SIZE:
            expected = f"at most {limits.METADATA_SIZE} bytes"
            raise ManifestError("metadata of such a size are not read", path=key, expected=expected, got=size)
    return await asyncio.to_thread(pending.opened, texts)


def _text(data: bytes) -> str:
    """Return data as a reference document has them."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "base64:"
    return f"base64:{b64encode(data).decode()}" if text.startswith("base64:") else text
