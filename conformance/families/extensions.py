"""The member `refmaker`, and composite arrays: whoever does not know them reads the rest, and never a wrong value."""

from __future__ import annotations

import json
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
    """Yield composite arrays: 1 to 4, in two pieces."""
    for title, version in (("a composite beside a plain array", 1), ("a version that nobody knows", 99)):
        found = {**refs(), **stand_in()}
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
    """Return the member `composites` of version 1: two pieces of two rows, one after the other."""
    metadata = json.loads(zarray(shape=[4], chunks=[2], compressor=None))
    stored = json.loads(zarray(shape=[2], chunks=[2], compressor=None))
    two, zero, order = column([2, 2]), column([0, 0]), column([0, 1])
    return {
        "version": 1,
        "rules": "xarray-2026.9",
        "arrays": {
            "c": {
                "metadata": metadata,
                "attributes": json.loads(dims("k")),
                "axis": 0,
                "templates": [[]],
                "forms": [{"metadata": stored, "template": 0, "order": [0]}],
                "slots": [order, zero, two],
                "form": zero,
                "extent": [two],
                "operands": [],
                "references": {
                    "cell": column([1, 1]),
                    "target": zero,
                    "offset": column([ref(1, 2)[1], ref(3, 2)[1]]),
                    "size": column([ref(1, 2)[2], ref(3, 2)[2]]),
                    "inline": {},
                    "whole": {},
                },
            }
        },
    }


def column(values: list[int]) -> dict[str, Any]:
    """Return a column, each value a run of its own."""
    return {"n": len(values), "rle": [[value, 1] for value in values]}
