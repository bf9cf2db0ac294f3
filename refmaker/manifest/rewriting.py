"""A manifest whose targets have moved: other urls, the references as they are.

Contract: a prefix ends where a segment of the path ends, so that `s3://b/a` does not take `s3://b/ab` along. Of a
target that moves, the size stays recorded and nothing else: a copy has another modification time, and in another store
another ETag. Two targets never become one by accident.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from refmaker.errors import ManifestError
from refmaker.manifest.manifest import Manifest, Target
from refmaker.redaction import has_secrets
from refmaker.zarr.strict_json import shown

__all__ = ["moved_url", "with_targets_at", "with_targets_moved"]


def moved_url(url: str, old: str, new: str) -> str | None:
    """Return a url with one prefix in the place of another; None where it does not begin with that."""
    if url == old:
        return new
    stem = old if old.endswith("/") else f"{old}/"
    if not old or not url.startswith(stem):
        return None
    return f"{new}{url[len(stem) :]}" if new.endswith("/") or not new else f"{new}/{url[len(stem) :]}"


def with_targets_moved(manifest: Manifest, old: str, new: str) -> tuple[Manifest, int]:
    """Return a manifest whose targets below `old` are below `new`, and how many these are.

    A local path as `old` takes along urls that spell it with `file://`.

    Raises
    ------
    ManifestError
        Two targets would have one url, or `new` has a login or signature.
    """
    if has_secrets(new):
        raise ManifestError("targets cannot be moved to a url with a login or signature: it would be written", got=new)
    count = 0

    def move(target: Target) -> Target:
        nonlocal count
        url = moved_url(target.url, old, new)
        if url is None and "://" not in old:
            url = moved_url(target.url.removeprefix("file://"), old, new)
        if url is None:
            return target
        count += 1
        return target if url == target.url else Target(url, target.size)

    moved = with_targets_at(manifest, move)
    if count:
        moved.history = [*moved.history, f"targets below {old} moved to {new}: {count}"]
    return moved, count


def with_targets_at(manifest: Manifest, place: Callable[[Target], Target]) -> Manifest:
    """Return a manifest whose targets are what `place` makes of each.

    Raises
    ------
    ManifestError
        Two targets would have one url.
    """
    manifest.load()
    targets = tuple(map(place, manifest.targets))
    seen: dict[str, str] = {}
    for before, after in zip(manifest.targets, targets, strict=True):
        if after.url in seen:
            message = "two targets would have one url"
            raise ManifestError(message, structure=shown(after.url), got=f"{seen[after.url]} and {before.url}")
        seen[after.url] = before.url
    return replace(manifest, targets=targets)
