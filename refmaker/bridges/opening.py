"""Manifests for other libraries: opened, with absolute targets.

Contract: other libraries know no manifest that a relative target could lie beside. What is relative is resolved here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from refmaker.kerchunk.open import open_manifest
from refmaker.manifest.manifest import Manifest
from refmaker.manifest.rewriting import with_targets_at
from refmaker.urls import locate, resolve, text_of

__all__ = ["opened"]


def opened(manifest: str | os.PathLike[str] | Manifest, storage_options: Mapping[str, Any] | None = None) -> Manifest:
    """Return a manifest with absolute targets.

    Parameters
    ----------
    manifest
        Path or url of it, or the manifest, whose relative targets lie in the working directory.
    storage_options
        Of the filesystem of a manifest that is not local.
    """
    if isinstance(manifest, Manifest):
        found, base = manifest, None
    else:
        base = locate(text_of(manifest))
        found = open_manifest(manifest, storage_options=storage_options)
    found.load()
    return with_targets_at(found, lambda target: replace(target, url=resolve(target.url, base)))
