"""A manifest written elsewhere than where it was read from: its relative targets are named from there.

Contract: a target is the same file before and after. Relative urls stay relative where both places are local.
"""

from __future__ import annotations

import os
from dataclasses import replace

from refmaker.manifest.manifest import Manifest, Target
from refmaker.manifest.rewriting import with_targets_at
from refmaker.urls import is_local, local_path, locate, resolve

__all__ = ["relocated"]


def relocated(manifest: Manifest, source: str, output: str | None) -> Manifest:
    """Return a manifest as it is to be written to another place.

    Parameters
    ----------
    source
        Path or url that it was read from.
    output
        Path or url that it will be written to; None for the working directory.
    """
    base = locate(source)
    if not is_local(base):
        base = base.rstrip("/")
    folder = os.getcwd() if output is None else os.path.dirname(locate(output))
    if is_local(base) and os.path.dirname(base) == folder:
        return manifest

    def place(target: Target) -> Target:
        if not is_local(target.url) or os.path.isabs(local_path(target.url)):
            return target
        url = resolve(target.url, base)
        return replace(target, url=os.path.relpath(url, folder) if is_local(url) and is_local(folder) else url)

    return with_targets_at(manifest, place)
