"""Manifests on their way out: what nobody else may have is left behind.

Contract: a manifest is handed on. Urls of its targets are written without logins and signatures, and its history says
so; readers bring their own, as options of their filesystems.
"""

from __future__ import annotations

from dataclasses import replace

from refmaker.errors import ManifestError
from refmaker.manifest.manifest import Manifest
from refmaker.manifest.rewriting import with_targets_at
from refmaker.redaction import KEEP_QUERY, has_secrets, redact, strip_credentials, unknown_parameters

__all__ = ["publishable"]

NAMED = "parameters of urls left out, as they may be secrets: {}; --keep-query names those that are none"
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
    names = sorted({name for target in manifest.targets for name in unknown_parameters(target.url)})
    try:
        moved = with_targets_at(manifest, lambda target: replace(target, url=strip_credentials(target.url)))
    except ManifestError as error:
        if names:
            error.message += (
                f"; --keep-query NAME, or {KEEP_QUERY}, names parameters that are no secrets, and tell files apart"
            )
        raise
    moved.history = [*map(redact, moved.history), NOTE.format(number)]
    if names:
        moved.history.append(NAMED.format(", ".join(map(repr, names[:20]))))
    return moved
