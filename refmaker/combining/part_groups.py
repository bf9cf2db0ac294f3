"""What a combination becomes that was split: parts that agree, each a group of one manifest.

Contract: pure. Parts are named `part_0`, `part_1` and so on, in the order of their first inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from refmaker import limits
from refmaker.manifest.manifest import Manifest

__all__ = ["grouped", "split_parts"]


def split_parts(manifest: Manifest) -> list[Manifest]:
    """Take groups of parts apart again, so that they are numbered through."""
    names = [path for path in manifest.groups if path.startswith("part_") and "/" not in path]
    if not names or manifest.arrays.keys() & {path for path in manifest.arrays if not path.startswith("part_")}:
        return [manifest]
    found = []
    for name in names:
        inside = name + "/"
        groups = {
            "" if p == name else p[len(inside) :]: a for p, a in manifest.groups.items() if (p + "/").startswith(inside)
        }
        arrays = {path[len(inside) :]: array for path, array in manifest.arrays.items() if path.startswith(inside)}
        found.append(replace(manifest, groups=groups, arrays=arrays))
    return found


def grouped(parts: Sequence[Manifest]) -> Manifest:
    """Put manifests of the same targets into one, each in a group."""
    first = parts[0]
    groups: dict[str, dict[str, Any]] = {"": first.groups.get("", {})}
    arrays = {}
    refusals: dict[str, str] = {}
    history: dict[str, None] = {}
    extra: dict[str, bytes] = {}
    notes: dict[str, None] = {}
    for number, part in enumerate(parts):
        name = f"part_{number}"
        groups.setdefault(name, {})
        groups.update({f"{name}/{path}" if path else name: attributes for path, attributes in part.groups.items()})
        arrays.update({f"{name}/{path}": array for path, array in part.arrays.items()})
        refusals.update(part.refusals)
        history.update(dict.fromkeys(part.history))
        notes.update(dict.fromkeys(part.notes))
        extra.update({f"{name}/{key}": data for key, data in part.extra.items()})
    return replace(
        first,
        groups=groups,
        arrays=arrays,
        refusals=refusals,
        history=list(history),
        extra=extra,
        notes=list(notes)[: limits.NOTES_KEPT],
    )
