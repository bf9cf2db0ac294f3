"""Manifests on their way out: what nobody else may have is left behind.

Contract: a manifest is handed on. Urls of its targets are written without logins and signatures, and its history says
so; readers bring their own, as options of their filesystems.
"""

from __future__ import annotations

from dataclasses import replace

from refmaker.manifest.manifest import Manifest
from refmaker.manifest.rewriting import with_targets_at
from refmaker.redaction import has_secrets, redact, strip_credentials

__all__ = ["publishable"]

NOTE = "logins and signatures left out of the urls of targets: {}"


def publishable(manifest: Manifest) -> Manifest:
    """Return a manifest as it may be written; the same one where its targets hold no secrets.

    Raises
    ------
    ManifestError
        Two targets would have one url.
    """
    for array in manifest.arrays.values():
        if not array.references.streamed:
            array.references.load()  # a set knows all of its targets only then
    number = sum(has_secrets(target.url) for target in manifest.targets)
    if not number:
        return manifest
    moved = with_targets_at(manifest, lambda target: replace(target, url=strip_credentials(target.url)))
    moved.history = [*map(redact, moved.history), NOTE.format(number)]
    return moved
