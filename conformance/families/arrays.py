"""Metadata: data types, codecs, order, keys of chunks, groups."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from building import (
    ZARRAY,
    Case,
    array,
    dims,
    inline,
    name_of,
    pack,
    ref,
    refs,
    stored_gzip,
    stored_zlib,
    version1,
    zarray,
)


def case(kind: str, group: str, title: str, references: dict[str, Any], rule: str, **more: Any) -> Case:
    """Return a case of the array `x`."""
    more = {"arrays": {"x": array([1, 2, 3, 4])}, **more} if kind == "valid" else {"broken": "x", **more}
    return Case(name_of(group, title), group, title, kind, rule, version1(references), **more)


def cases() -> Iterator[Case]:
    """Yield the cases of this family."""
    yield from types()
    yield from codecs()
    yield from shapes()
    yield from nodes()


def types() -> Iterator[Case]:
    """Yield data types."""
    group, rule = "data types", "3.1"
    numbers: dict[str, list[Any]] = {
        "|i1": [-128, -1, 0, 127],
        "|u1": [0, 1, 128, 255],
        "<i2": [-32768, -1, 0, 32767],
        ">i2": [1, 2, -3, 4],
        "<u2": [0, 1, 32768, 65535],
        ">u4": [0, 1, 2**31, 2**32 - 1],
        "<i4": [-(2**31), -1, 0, 2**31 - 1],
        "<i8": [-(2**63), -1, 2**53 + 1, 2**63 - 1],
        "<u8": [0, 1, 2**53 + 1, 2**64 - 1],
        "<f4": [0.5, -0.25, 1e30, 0.0],
        ">f4": [0.5, -0.25, 3.0, 0.0],
        "<f8": [0.1, -1e300, 5e-324, 0.0],
        ">f8": [0.1, -1e300, 2.0, 0.0],
    }
    for dtype, values in numbers.items():
        data = inline(pack(dtype, values))
        yield case(
            "valid",
            group,
            _spoken(dtype),
            refs({"x/0": data, "x/1": ...}, dtype=dtype, chunks=[4], fill_value=0),
            rule,
            arrays={"x": array(values, dtype)},
        )
    flags = {"dtype": "b1", "shape": [4], "values": [True, False, True, True], "hex": "01000101"}
    yield case(
        "valid",
        group,
        "bool",
        refs({"x/0": inline(b"\1\0\1\1"), "x/1": ...}, dtype="|b1", chunks=[4], fill_value=False),
        rule,
        arrays={"x": flags},
    )
    nan = array([float("nan"), float("inf"), float("-inf"), -0.0], "<f8")
    yield case(
        "valid",
        group,
        "NaN, infinities, negative zero",
        refs({"x/0": inline(bytes.fromhex(nan["hex"])), "x/1": ...}, dtype="<f8", chunks=[4], fill_value=None),
        rule,
        arrays={"x": nan},
    )
    for title, dtype in (("that nobody knows", "<q9"), ("empty", ""), ("a number", 2), ("null", None)):
        yield case("invalid", group, f"a type {title}", refs(dtype=dtype), rule)


def _spoken(dtype: str) -> str:
    order = {"<": "little-endian ", ">": "big-endian ", "|": ""}[dtype[0]]
    return f"{order}{dtype[1:]}"


def codecs() -> Iterator[Case]:
    """Yield compressors and filters."""
    group, rule = "codecs", "3.2"
    first, second = pack("<i2", [1, 2]), pack("<i2", [3, 4])
    yield case(
        "valid",
        group,
        "zlib",
        refs(
            {"x/0": inline(stored_zlib(first)), "x/1": inline(stored_zlib(second))},
            compressor={"id": "zlib", "level": 1},
        ),
        rule,
    )
    yield case(
        "valid",
        group,
        "gzip",
        refs(
            {"x/0": inline(stored_gzip(first)), "x/1": inline(stored_gzip(second))},
            compressor={"id": "gzip", "level": 1},
        ),
        rule,
    )
    shuffled = [bytes(data[i] for i in (0, 2, 1, 3)) for data in (first, second)]
    shuffle = [{"id": "shuffle", "elementsize": 2}]
    yield case(
        "valid",
        group,
        "shuffle",
        refs(dict(zip(("x/0", "x/1"), map(inline, shuffled), strict=True)), filters=shuffle),
        rule,
    )
    yield case(
        "valid",
        group,
        "shuffle and zlib",
        refs(
            {f"x/{i}": inline(stored_zlib(data)) for i, data in enumerate(shuffled)},
            filters=shuffle,
            compressor={"id": "zlib", "level": 1},
        ),
        rule,
    )
    yield case("valid", group, "no filters as an empty list", refs(filters=[]), rule)
    zlib = {"compressor": {"id": "zlib", "level": 1}}
    yield case("invalid", group, "a codec that nobody knows", refs(compressor={"id": "nosuch"}), rule)
    yield case("invalid", group, "a codec without a name", refs(compressor={"level": 1}), rule)
    yield case("invalid", group, "a codec that is a text", refs(compressor="zlib"), rule)
    yield case("invalid", group, "bytes that do not decode", refs(**zlib), rule)
    cut = stored_zlib(first)[:-5]
    yield case("invalid", group, "compressed bytes that are cut", refs({"x/0": inline(cut)}, **zlib), rule)
    wrong = stored_zlib(first)[:-1] + b"?"
    yield case("invalid", group, "a wrong checksum of zlib", refs({"x/0": inline(wrong)}, **zlib), rule)
    short = stored_zlib(first[:2])
    yield case("invalid", group, "a chunk that decodes to too little", refs({"x/0": inline(short)}, **zlib), rule)
    much = stored_zlib(first + second)
    yield case("invalid", group, "a chunk that decodes to too much", refs({"x/0": inline(much)}, **zlib), rule)


def shapes() -> Iterator[Case]:
    """Yield shapes, orders, separators."""
    group, rule = "grids", "3.3"
    square = {".zgroup": '{"zarr_format": 2}', "x/.zattrs": dims("i", "j")}

    def grid(found: dict[str, Any], **changes: Any) -> dict[str, Any]:
        return {**square, "x/.zarray": zarray(**changes), **found}

    four = {"x": array([1, 2, 3, 4], shape=[2, 2])}
    ones = {"shape": [2, 2], "chunks": [1, 2]}
    yield case(
        "valid", group, "two dimensions", grid({"x/0.0": ref(1, 2), "x/1.0": ref(3, 2)}, **ones), rule, arrays=four
    )
    yield case(
        "valid",
        group,
        "separator /",
        grid({"x/0/0": ref(1, 2), "x/1/0": ref(3, 2)}, **ones, dimension_separator="/"),
        rule,
        arrays=four,
    )
    yield case(
        "valid",
        group,
        "separator . spelled out",
        grid({"x/0.0": ref(1, 2), "x/1.0": ref(3, 2)}, **ones, dimension_separator="."),
        rule,
        arrays=four,
    )
    yield case(
        "valid",
        group,
        "order F",
        grid({"x/0.0": ref(1, 4)}, shape=[2, 2], chunks=[2, 2], order="F"),
        rule,
        arrays={"x": array([1, 3, 2, 4], shape=[2, 2])},
    )
    yield case(
        "valid",
        group,
        "edge chunks reach beyond the array",
        grid({"x/0.0": ref(1, 4), "x/1.0": ref(5, 4)}, shape=[3, 2], chunks=[2, 2]),
        rule,
        arrays={"x": array([1, 2, 3, 4, 5, 6], shape=[3, 2])},
    )
    yield case("valid", group, "a chunk larger than the array", refs({"x/0": ref(1, 8), "x/1": ...}, chunks=[8]), rule)
    yield case(
        "valid", group, "an array of length 0", refs({"x/0": ..., "x/1": ...}, shape=[0]), rule, arrays={"x": array([])}
    )
    yield case(
        "valid",
        group,
        "ten chunks: 10 is not 1",
        refs({f"x/{i}": ref(i + 1, 1) for i in range(12)}, shape=[12], chunks=[1]),
        rule,
        arrays={"x": array(list(range(1, 13)))},
        keys={"x/10": pack("<i2", [11]).hex()},
    )
    yield case(
        "valid",
        group,
        "no dimensions",
        {
            ".zgroup": '{"zarr_format": 2}',
            "x/.zarray": zarray(shape=[], chunks=[]),
            "x/.zattrs": dims(),
            "x/0": ref(7, 1),
        },
        rule,
        arrays={"x": array([7], shape=[])},
    )
    for title, changes in {
        "chunks of length 0": {"chunks": [0]},
        "negative shape": {"shape": [-4]},
        "more chunks than dimensions": {"chunks": [2, 2]},
        "shape is a text": {"shape": "4"},
        "shape is a fraction": {"shape": [4.5]},
        "an order that nobody knows": {"order": "Z"},
        "a separator that nobody knows": {"dimension_separator": "-"},
        "zarr_format 4": {"zarr_format": 4},
        "a fill value that does not fit": {"fill_value": 70000},
        "a fill value that is a text": {"fill_value": "none"},
    }.items():
        yield case("invalid", group, title, refs({"x/1": ...}, **changes), rule)
    for name in ("shape", "chunks", "dtype"):
        kept = {key: value for key, value in ZARRAY.items() if key != name}
        yield case("invalid", group, f"no {name}", refs({"x/.zarray": json.dumps(kept)}), rule)


def nodes() -> Iterator[Case]:
    """Yield names, groups, consolidated metadata."""
    group, rule = "nodes", "3.4"
    for title, name in (
        ("a blank", "air temperature"),
        ("letters beyond ASCII", "température"),
        ("other scripts", "気温"),
        ("a point", "x.y"),
        ("a plus", "a+b"),
        ("a percent sign", "a%20b"),
        ("a colon", "a:b"),
        ("digits only", "2024"),
        ("capitals", "Temp"),
        ("an emoji", "\U0001f321"),
    ):
        moved = {key.replace("x/", f"{name}/", 1): value for key, value in refs().items()}
        yield case(
            "valid",
            group,
            f"a name with {title}",
            moved,
            rule,
            arrays={name: array([1, 2, 3, 4])},
            keys={f"{name}/0": pack("<i2", [1, 2]).hex()},
        )
    nested = {
        ".zgroup": '{"zarr_format": 2}',
        "g/.zgroup": '{"zarr_format": 2}',
        **{f"g/{key}": value for key, value in refs().items()},
    }
    yield case("valid", group, "an array in a group", nested, rule, arrays={"g/x": array([1, 2, 3, 4])})
    deep = {**nested, "g/h/.zgroup": '{"zarr_format": 2}', **{f"g/h/{key}": value for key, value in refs().items()}}
    yield case(
        "valid",
        group,
        "arrays in two levels of groups",
        deep,
        rule,
        arrays={"g/x": array([1, 2, 3, 4]), "g/h/x": array([1, 2, 3, 4])},
    )
    plain = refs()
    consolidated = {
        "zarr_consolidated_format": 1,
        "metadata": {key: json.loads(value) for key, value in plain.items() if isinstance(value, str)},
    }
    yield case(
        "valid",
        group,
        "consolidated metadata beside the others",
        {".zmetadata": json.dumps(consolidated), **plain},
        rule,
    )
    yield case("valid", group, "no attributes of the array", refs({"x/.zattrs": ..., ".zattrs": "{}"}), rule)
    yield case("valid", group, "attributes of the group", refs({".zattrs": '{"title": "tést"}'}), rule)
    yield case("invalid", group, "chunks without metadata", refs({"x/.zarray": ...}), rule)
    yield case("invalid", group, "an array and a group of one name", refs({"x/.zgroup": '{"zarr_format": 2}'}), rule)
    yield case("invalid", group, "a key that leaves the tree", refs({"../x/0": ref(1, 2), "x/0": None}), rule)
    yield case("invalid", group, "attributes that are a list", refs({"x/.zattrs": "[1]"}), rule)
