"""Source files where a manifest is expected: scanned in memory, and replayed from there.

Contract: what a name stands for is told by content; a remote name whose ending says what it is costs no request. What
is neither a manifest nor of a format that can be scanned is left to the reader of manifests, who says so.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from refmaker.errors import RefmakerError
from refmaker.manifest.manifest import Manifest
from refmaker.urls import is_local, local_path, locate, text_of

__all__ = ["of_source", "source_of"]

_MANIFESTS: Final = (".json", ".gz", ".zst", ".zstd", ".parq", ".parquet", "/")
_NOT_FOR_FILES: Final = frozenset({"target_protocol", "target", "template_overrides", "missing_shards"})
"""Options that say how a manifest is read."""


def of_source(name: Any, options: Mapping[str, Any]) -> Any:
    """Return the manifest of a source file; what was given for anything else.

    Parameters
    ----------
    name
        A path or url, or whatever else a manifest is opened from.
    options
        Of `FileSystem`: those of the targets are for the file.
    """
    if not isinstance(name, str | os.PathLike) or not _NOT_FOR_FILES.isdisjoint(options):
        return name
    location = locate(text_of(name))
    remote = options.get("remote_options")
    if not (_is_local_source(location) if is_local(location) else _is_remote_source(location, remote)):
        return name
    from refmaker.scanning.scan import scan

    return scan(location, storage_options=remote)


def _is_local_source(path: str) -> bool:
    from refmaker.kerchunk.sniff import looks_like_manifest
    from refmaker.scanning.recognise import is_recognised

    return os.path.isfile(local_path(path)) and not looks_like_manifest(path) and is_recognised(path)


def _is_remote_source(url: str, options: Mapping[str, Any] | None) -> bool:
    from refmaker.kerchunk.fetch import cat
    from refmaker.scanning.recognise import REMOTE_HEAD, has_known_suffix, head_is_recognised
    from refmaker.urls import filesystem_of

    name = url.split("?", 1)[0]
    if name.endswith(_MANIFESTS):
        return False
    if has_known_suffix(name):
        return True
    try:
        filesystem, path = filesystem_of(url, options or {})
        head = cat(filesystem, path, end=REMOTE_HEAD)
    except RefmakerError:
        raise
    except (OSError, ValueError):  # whoever opens it as a manifest says what is wrong
        return False
    return head_is_recognised(head)


def source_of(manifest: Manifest, location: str | None) -> str | None:
    """Return the one file that a manifest is of; None where there are several, or none.

    Parameters
    ----------
    location
        Of the manifest, which relative targets lie beside; None for one in memory.
    """
    from refmaker.urls import resolve

    return resolve(manifest.targets[0].url, location) if len(manifest.targets) == 1 else None
