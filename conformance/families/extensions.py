"""The member `refmaker`, and composite arrays: whoever does not know them reads the rest, and never a wrong value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from building import Case, array, dims, name_of, ref, refs, version1, zarray

TARGET = {"url": "@ROOT@/data.bin", "size": 2100}


def _case(kind: str, title: str, text: str, rule: str, **more: Any) -> Case:
    more = {"arrays": {"x": array([1, 2, 3, 4])}, **more} if kind == "valid" else {"broken": "x", **more}
    group = "composites" if rule == "6" else "member refmaker"
    return Case(name_of(group, title), group, title, kind, rule, text, **more)


def cases() -> Iterator[Case]:
    """Yield the cases of this family."""
    yield _case("valid", "format and targets", version1(refs(), refmaker={"format": 1, "targets": [TARGET]}), "5")
    yield _case(
        "valid",
        "refusals and history",
        version1(
            refs(),
            refmaker={
                "format": 1,
                "targets": [TARGET],
                "refusals": {"/y": "variable-length strings"},
                "history": ["made by hand"],
            },
        ),
        "5",
    )
    yield _case(
        "valid",
        "a target without a size",
        version1(refs(), refmaker={"format": 1, "targets": [{"url": "@ROOT@/data.bin"}]}),
        "5",
    )
    yield from composites()


def composites() -> Iterator[Case]:
    """Yield composite arrays: 1 to 4, stored as a little-endian and a big-endian piece."""
    for title, version in (("a composite beside a plain array", 1), ("a version that nobody knows", 99)):
        found = {**refs(), **stand_in(), "c/.pieces/0": ref(1, 2), "c/.pieces/1": ref(3, 2)}
        text = version1(
            found, refmaker={"format": 1, "targets": [TARGET], "composites": {**layout(), "version": version}}
        )
        if version == 1:
            yield Case(
                name_of("composites", title), "composites", title, "valid", "6", text, arrays={"x": array([1, 2, 3, 4])}
            )
        else:
            yield Case(
                name_of("composites", title),
                "composites",
                title,
                "unreachable",
                "6",
                text,
                broken="c",
                arrays={"x": array([1, 2, 3, 4])},
            )
    title = "the stand-in never reads as values"
    yield Case(
        name_of("composites", title),
        "composites",
        title,
        "unreachable",
        "6",
        version1({**refs(), **stand_in()}),
        broken="c",
        arrays={"x": array([1, 2, 3, 4])},
    )


def stand_in() -> dict[str, Any]:
    """Return what readers find who know nothing of composites: an array of which no chunk decodes."""
    reason = "read through refmaker:// only: made of pieces"
    attributes = dims("k")[:-1] + f', "refmaker_composite": "{reason}"}}'
    compressor = {"id": "zlib", "level": 1}
    return {"c/.zarray": zarray(shape=[4], chunks=[4], compressor=compressor), "c/.zattrs": attributes, "c/0": reason}


def layout() -> dict[str, Any]:
    """Return the member `composites` of version 1: two pieces of two rows."""
    two = {"n": 2, "rle": [[2, 2]]}
    zero = {"n": 2, "rle": [[0, 2]]}
    form = {"dtype": "<i2", "chunks": [2], "compressor": None, "filters": None, "order": "C", "fill_value": -1}
    shown = {"shape": [4], "chunks": [2], "dtype": "<i2"}
    return {
        "version": 1,
        "rules": "xarray-2026.9",
        "layouts": [{"axes": [{"dimension": "k", "lengths": two}], "slots": None}],
        "templates": [[]],
        "arrays": {
            "c": {
                "layout": 0,
                "metadata": shown,
                "attributes": {},
                "forms": [{"metadata": form, "template": 0}],
                "windows": [{"perm": [0], "axes": [None]}],
                "pieces": {"n": 2, "form": zero, "window": zero, "extent": [two], "operands": []},
            }
        },
    }
