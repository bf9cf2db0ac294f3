"""Zarr 3: the same references below other metadata."""

from __future__ import annotations

import json
from collections.abc import Iterator

from building import GROUP3, ZARR3, Case, array, inline, pack, ref, refs3, stored_gzip

from families.arrays import case as _case


def cases() -> Iterator[Case]:
    """Yield the cases of this family."""
    group, rule = "Zarr 3", "3.5"
    yield _case("valid", group, "plain", refs3(), rule, keys={"x/c/0": pack("<i2", [1, 2]).hex()})
    yield _case(
        "valid",
        group,
        "metadata as objects",
        {k: json.loads(v) if isinstance(v, str) else v for k, v in refs3().items()},
        rule,
    )
    encoding = {"name": "default", "configuration": {"separator": "."}}
    yield _case(
        "valid",
        group,
        "separator .",
        refs3({"x/c/0": ..., "x/c/1": ..., "x/c.0": ref(1, 2), "x/c.1": ref(3, 2)}, chunk_key_encoding=encoding),
        rule,
    )
    as2 = {"name": "v2", "configuration": {"separator": "."}}
    yield _case(
        "valid",
        group,
        "keys as in Zarr 2",
        refs3({"x/c/0": ..., "x/c/1": ..., "x/0": ref(1, 2), "x/1": ref(3, 2)}, chunk_key_encoding=as2),
        rule,
    )
    yield _case(
        "valid",
        group,
        "a chunk that is absent",
        refs3({"x/c/1": ...}),
        rule,
        arrays={"x": array([1, 2, -1, -1])},
        keys={"x/c/1": None},
    )
    yield _case(
        "valid",
        group,
        "no dimensions",
        refs3(
            {"x/c/0": ..., "x/c/1": ..., "x/c": ref(7, 1)},
            shape=[],
            dimension_names=[],
            chunk_grid={"name": "regular", "configuration": {"chunk_shape": []}},
        ),
        rule,
        arrays={"x": array([7], shape=[])},
    )
    big = [{"name": "bytes", "configuration": {"endian": "big"}}]
    yield _case(
        "valid",
        group,
        "big-endian bytes",
        refs3({"x/c/0": inline(pack(">i2", [1, 2])), "x/c/1": inline(pack(">i2", [3, 4]))}, codecs=big),
        rule,
    )
    gzip = [*ZARR3["codecs"], {"name": "gzip", "configuration": {"level": 1}}]
    yield _case(
        "valid",
        group,
        "gzip",
        refs3(
            {"x/c/0": inline(stored_gzip(pack("<i2", [1, 2]))), "x/c/1": inline(stored_gzip(pack("<i2", [3, 4])))},
            codecs=gzip,
        ),
        rule,
    )
    turned = [{"name": "transpose", "configuration": {"order": [1, 0]}}, *ZARR3["codecs"]]
    yield _case(
        "valid",
        group,
        "transpose",
        refs3(
            {"x/c/0": ..., "x/c/1": ..., "x/c/0/0": ref(1, 4)},
            shape=[2, 2],
            dimension_names=["i", "j"],
            codecs=turned,
            chunk_grid={"name": "regular", "configuration": {"chunk_shape": [2, 2]}},
        ),
        rule,
        arrays={"x": array([1, 3, 2, 4], shape=[2, 2])},
    )
    nan = refs3({"x/c/0": inline(pack("<f4", [1.5, 2.5])), "x/c/1": ...}, data_type="float32", fill_value="0x7fc00000")
    yield _case(
        "valid",
        group,
        "a fill value as bits",
        nan,
        rule,
        arrays={"x": array([1.5, 2.5, float("nan"), float("nan")], "<f4")},
    )
    group3 = {"g/" + key: value for key, value in refs3().items()}
    root = json.dumps(GROUP3)
    yield _case(
        "valid", group, "an array in a group", {"zarr.json": root, **group3}, rule, arrays={"g/x": array([1, 2, 3, 4])}
    )
    for title, changes in {
        "no codecs": {"codecs": []},
        "a codec that nobody knows": {"codecs": [*ZARR3["codecs"], {"name": "nosuch"}]},
        "a grid that nobody knows": {"chunk_grid": {"name": "nosuch", "configuration": {}}},
        "a type that nobody knows": {"data_type": "int17"},
        "no fill value": {"fill_value": None},
        "a node type that nobody knows": {"node_type": "table"},
        "an extension that must be understood": {"nosuch": {"name": "nosuch", "must_understand": True}},
        "a dimension name too many": {"dimension_names": ["i", "j"]},
    }.items():
        yield _case("invalid", group, title, refs3({"x/c/1": ...}, **changes), rule)
