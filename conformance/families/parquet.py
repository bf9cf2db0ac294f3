"""Parquet sets of references: shards, columns, what is absent. The rows stand in the case, pyarrow writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from building import DATA, FIRST, ZARRAY, Case, array, base64, inline, name_of, pack

COLUMNS = {"path": "string", "offset": "int64", "size": "int64", "raw": "binary"}


def _rows(*rows: tuple[str | None, int | None, int | None, bytes | None], **types: str) -> dict[str, Any]:
    columns = {}
    for number, (name, kind) in enumerate(COLUMNS.items()):
        values = [base64(v) if isinstance(v := row[number], bytes) else v for row in rows]
        columns[name] = {"type": types.get(name, kind), "values": values}
    return columns


def _ref(first: int, count: int = 2, path: str = DATA) -> tuple[str | None, int, int, None]:
    return path, FIRST + 2 * (first - 1), 2 * count, None


EMPTY: tuple[None, int, int, None] = (None, 0, 0, None)


def _case(kind: str, title: str, shards: dict[str, Any], size: Any = 2, where: str = "x", **more: Any) -> Case:
    changes = more.pop("metadata", {})
    metadata = {
        ".zgroup": {"zarr_format": 2},
        f"{where}/.zarray": {**ZARRAY, **changes},
        f"{where}/.zattrs": {"_ARRAY_DIMENSIONS": more.pop("dims", ["i"])},
    }
    if where == "g/x":
        metadata["g/.zgroup"] = {"zarr_format": 2}
    if kind == "unreachable":
        metadata["y/.zarray"] = {**ZARRAY, "shape": [2]}
        metadata["y/.zattrs"] = {"_ARRAY_DIMENSIONS": ["j"]}
        shards = {**shards, "y/refs.0.parq": _rows(_ref(5), EMPTY)}
    head = more.pop("head", json.dumps({"metadata": metadata, "record_size": size}))
    expected = {
        "valid": {"arrays": {where: array([1, 2, 3, 4])}},
        "invalid": {"broken": where},
        "unreachable": {"broken": where, "arrays": {"y": array([5, 6])}},
    }[kind]
    files = {".zmetadata": head, **shards}
    return Case(
        name_of("Parquet", title), "Parquet", title, kind, "4", parquet=files, suffix=".parq", **{**expected, **more}
    )


def cases() -> Iterator[Case]:
    """Yield the cases of this family."""
    both = {"x/refs.0.parq": _rows(_ref(1), _ref(3))}
    yield _case("valid", "one shard", both, keys={"x/0": pack("<i2", [1, 2]).hex()})
    yield _case("valid", "two shards", {"x/refs.0.parq": _rows(_ref(1)), "x/refs.1.parq": _rows(_ref(3))}, size=1)
    yield _case(
        "valid", "a shard padded with empty rows", {"x/refs.0.parq": _rows(_ref(1), _ref(3), EMPTY, EMPTY)}, size=4
    )
    dictionary = {"x/refs.0.parq": _rows(_ref(1), _ref(3), path="dictionary")}
    yield _case("valid", "paths as a dictionary", dictionary)
    raw = (None, 0, 0, pack("<i2", [1, 2]))
    yield _case("valid", "inline data", {"x/refs.0.parq": _rows(raw, _ref(3))})
    spelt = (None, 0, 0, inline(pack("<i2", [1, 2])).encode())
    yield _case("valid", "inline data as base64: and letters, as in JSON", {"x/refs.0.parq": _rows(spelt, _ref(3))})
    only_raw = {"x/refs.0.parq": {"raw": _rows(raw, (None, 0, 0, pack("<i2", [3, 4])))["raw"]}}
    yield _case("valid", "the column raw alone", only_raw)
    no_raw = {"x/refs.0.parq": {k: v for k, v in both["x/refs.0.parq"].items() if k != "raw"}}
    yield _case("valid", "no column raw", no_raw)
    yield _case("valid", "the column raw has the type null", {"x/refs.0.parq": _rows(_ref(1), _ref(3), raw="null")})
    whole = ("@ROOT@/four.bin", 0, 0, None)
    yield _case(
        "valid",
        "a whole file",
        {"x/refs.0.parq": _rows(whole, _ref(3))},
        targets={"four.bin": base64(pack("<i2", [1, 2]))},
    )
    missing = {"arrays": {"x": array([1, 2, -1, -1])}, "keys": {"x/1": None}}
    yield _case("valid", "an absent chunk", {"x/refs.0.parq": _rows(_ref(1), EMPTY)}, **missing)
    yield _case("valid", "an absent chunk beside inline data", {"x/refs.0.parq": _rows(raw, EMPTY)}, **missing)
    yield _case("valid", "an array without shards", {}, arrays={"x": array([-1] * 4)})
    yield _case("valid", "columns in another order", {"x/refs.0.parq": dict(reversed(both["x/refs.0.parq"].items()))})
    yield _case("valid", "offsets of 32 bits", {"x/refs.0.parq": _rows(_ref(1), _ref(3), offset="int32", size="int32")})
    yield _case("valid", "an array in a group", {"g/x/refs.0.parq": _rows(_ref(1), _ref(3))}, where="g/x")
    yield _case("valid", "a name beyond ASCII", {"é/refs.0.parq": _rows(_ref(1), _ref(3))}, where="é")
    yield _case(
        "valid",
        "no dimensions",
        {"x/refs.0.parq": _rows(_ref(7, 1), EMPTY)},
        dims=[],
        metadata={"shape": [], "chunks": []},
        arrays={"x": array([7], shape=[])},
    )
    yield _case(
        "valid",
        "two dimensions",
        {"x/refs.0.parq": _rows(_ref(1), _ref(3))},
        dims=["i", "j"],
        metadata={"shape": [2, 2], "chunks": [1, 2]},
        arrays={"x": array([1, 2, 3, 4], shape=[2, 2])},
    )
    yield _case(
        "valid",
        "separator /",
        {"x/refs.0.parq": _rows(_ref(1), _ref(3))},
        dims=["i", "j"],
        metadata={"shape": [2, 2], "chunks": [1, 2], "dimension_separator": "/"},
        arrays={"x": array([1, 2, 3, 4], shape=[2, 2])},
    )
    big = 2**32 + 5
    yield _case(
        "valid",
        "an offset beyond 4 GiB",
        {"x/refs.0.parq": _rows(("@ROOT@/big.bin", big, 4, None), _ref(3))},
        sparse={"big.bin": {"size": big + 4, "at": {str(big): pack("<i2", [1, 2]).hex()}}},
    )
    yield _case("unreachable", "the file is missing", {"x/refs.0.parq": _rows(_ref(1, 2, "@ROOT@/none.bin"), _ref(3))})
    yield _case(
        "unreachable", "the range goes beyond the end", {"x/refs.0.parq": _rows((DATA, 2098, 4, None), _ref(3))}
    )
    yield _case(
        "unreachable", "a whole file is missing", {"x/refs.0.parq": _rows(("@ROOT@/none.bin", 0, 0, None), _ref(3))}
    )
    yield _case("invalid", "no .zmetadata", {".zmetadata": None, **both})
    yield _case("invalid", ".zmetadata is not JSON", both, head="{")
    yield _case("invalid", "no record size", both, head=json.dumps({"metadata": {"x/.zarray": ZARRAY}}))
    for title, size in (("0", 0), ("negative", -2), ("a text", "2"), ("a fraction", 1.5), ("null", None)):
        yield _case("invalid", f"record size is {title}", both, size=size)
    yield _case("invalid", "negative offset", {"x/refs.0.parq": _rows((DATA, -4, 4, None), _ref(3))})
    yield _case("invalid", "negative size", {"x/refs.0.parq": _rows((DATA, 100, -4, None), _ref(3))})
    yield _case(
        "invalid",
        "offsets are texts",
        {"x/refs.0.parq": _rows((DATA, "100", "4", None), (DATA, "104", "4", None), offset="string", size="string")},
    )
    yield _case("invalid", "a shard with fewer rows than chunks", {"x/refs.0.parq": _rows(_ref(1))})
    yield _case("invalid", "a shard that is no Parquet", {"x/refs.0.parq": "not Parquet"})
    yield _case("invalid", "an empty shard", {"x/refs.0.parq": ""})
