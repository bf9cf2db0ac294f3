"""Values of references: inline data, ranges, whole files, urls; absent and unreachable."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from building import (
    DATA,
    FIRST,
    Case,
    array,
    base64,
    beside,
    data_file,
    inline,
    name_of,
    pack,
    ref,
    refs,
    version1,
)

GOOD = pack("<i2", [1, 2])


def _case(kind: str, group: str, title: str, references: dict[str, Any], rule: str, **more: Any) -> Case:
    if kind == "valid":
        more = {"arrays": {"x": array([1, 2, 3, 4])}, "keys": {"x/0": GOOD.hex()}, **more}
    elif kind == "unreachable":
        references = beside(references)
        more = {"arrays": {"y": array([5, 6])}, "broken": "x", **more}
    else:
        more = {"broken": "x", **more}
    return Case(name_of(group, title), group, title, kind, rule, version1(references), **more)


def cases() -> Iterator[Case]:
    """Yield the cases of this family."""
    yield from inlined()
    yield from ranges()
    yield from urls()
    yield from absent()
    yield from unreachable()


def inlined() -> Iterator[Case]:
    """Yield data in the manifest."""
    group, rule = "inline data", "2.1"
    yield _case("valid", group, "base64", refs({"x/0": inline(GOOD)}), rule)
    text = {"x/0": "abcd"}
    as_text = {"arrays": {"x": array([25185, 25699, 3, 4])}, "keys": {"x/0": b"abcd".hex()}}
    yield _case("valid", group, "text", refs(text), rule, **as_text)
    nul = {"x/0": "\x01\x00\x02\x00"}
    yield _case("valid", group, "text with NUL", refs(nul), rule)
    odd = {"x/0": "é\x01\x00"}
    yield _case(
        "valid",
        group,
        "text beyond ASCII is UTF-8",
        refs(odd),
        rule,
        arrays={"x": array([-22077, 1, 3, 4])},
        keys={"x/0": "é\x01\x00".encode().hex()},
    )
    begins = inline(b"base64:A" + b"\0" * 0)
    yield _case(
        "valid",
        group,
        "data that begin with base64:",
        refs({"x/0": begins, "x/1": ...}, chunks=[4], dtype="<i2"),
        rule,
        arrays={"x": array([24930, 25971, 13366, 16698])},
        keys={"x/0": b"base64:A".hex()},
    )
    long = pack("<i2", list(range(1, 1001)))
    yield _case(
        "valid",
        group,
        "a thousand numbers",
        refs({"x/0": inline(long), "x/1": ...}, shape=[1000], chunks=[1000]),
        rule,
        arrays={"x": array(list(range(1, 1001)))},
        keys={"x/0": long.hex()},
    )
    yield _case("valid", group, "all chunks", refs({"x/0": inline(GOOD), "x/1": inline(pack("<i2", [3, 4]))}), rule)
    for title, value in {
        "base64 with a wrong letter": "base64:AQ!CAA==",
        "base64 without its padding": "base64:AQACAA",
        "base64 that is too short for the chunk": inline(b"\x01\x00"),
        "base64 that is too long for the chunk": inline(GOOD + GOOD),
        "empty text for a chunk": "",
        "a number": 5,
        "true": True,
        "null": None,
    }.items():
        yield _case("invalid", group, title, refs({"x/0": value}), rule)


def ranges() -> Iterator[Case]:
    """Yield ranges of files."""
    group, rule = "ranges", "2.2"
    whole = {"targets": {"four.bin": base64(GOOD)}}
    yield _case("valid", group, "a whole file", refs({"x/0": ["@ROOT@/four.bin"]}), rule, **whole)
    yield _case("valid", group, "offset 0", refs({"x/0": ["@ROOT@/four.bin", 0, 4]}), rule, **whole)
    yield _case(
        "valid",
        group,
        "up to the last byte",
        refs({"x/0": [DATA, FIRST + 1996, 4]}),
        rule,
        arrays={"x": array([999, 1000, 3, 4])},
        keys={"x/0": pack("<i2", [999, 1000]).hex()},
    )
    yield _case(
        "valid",
        group,
        "two chunks from the same bytes",
        refs({"x/1": ref(1, 2)}),
        rule,
        arrays={"x": array([1, 2, 1, 2])},
    )
    yield _case(
        "valid", group, "ranges that overlap", refs({"x/1": ref(2, 2)}), rule, arrays={"x": array([1, 2, 2, 3])}
    )
    yield _case(
        "valid",
        group,
        "ranges in reverse order",
        refs({"x/0": ref(3, 2), "x/1": ref(1, 2)}),
        rule,
        arrays={"x": array([3, 4, 1, 2])},
        keys={"x/1": GOOD.hex()},
    )
    for title, offset in (("beyond 2 GiB", 2**31 + 5), ("beyond 4 GiB", 2**32 + 5), ("beyond 2^53", 2**53 + 1)):
        if offset < 2**40:
            sparse = {"big.bin": {"size": offset + 4, "at": {str(offset): GOOD.hex()}}}
            yield _case(
                "valid", group, f"an offset {title}", refs({"x/0": ["@ROOT@/big.bin", offset, 4]}), rule, sparse=sparse
            )
        else:
            yield _case(
                "unreachable", group, f"an offset {title}, beyond the end", refs({"x/0": [DATA, offset, 4]}), rule
            )
    for title, value in {
        "negative offset": [DATA, -4, 4],
        "negative size": [DATA, 100, -4],
        "offset is a text": [DATA, "100", 4],
        "offset is a fraction": [DATA, 100.5, 4],
        "size is null": [DATA, 100, None],
        "offset without size": [DATA, 100],
        "four elements": [DATA, 100, 4, 4],
        "empty list": [],
        "an object in the list": [{"url": DATA}, 100, 4],
        "offset is true": [DATA, True, 4],
        "offset of 2^64": [DATA, 2**64, 4],
        "size too short for the chunk": [DATA, 100, 3],
        "size too long for the chunk": [DATA, 100, 6],
        "size 0": [DATA, 100, 0],
        "a whole file that is too long for the chunk": [DATA],
    }.items():
        yield _case("invalid", group, title, refs({"x/0": value}), rule)


def urls() -> Iterator[Case]:
    """Yield urls and names of files."""
    group, rule = "urls", "2.3"
    for title, name in (
        ("a blank", "a b.bin"),
        ("letters beyond ASCII", "é文.bin"),
        ("a plus", "a+b.bin"),
        ("a comma", "a,b.bin"),
        ("brackets", "a[1].bin"),
        ("an ampersand", "a&b.bin"),
        ("a percent sign", "a%20b.bin"),
        ("a star", "a*b.bin"),
        ("a hash", "a#b.bin"),
        ("a question mark", "a?b.bin"),
    ):
        yield _case(
            "valid",
            group,
            f"a path with {title}",
            refs({"x/0": ref(1, 2, f"@ROOT@/{name}")}),
            rule,
            targets={name: base64(data_file())},
        )
    yield _case("valid", group, "file url", refs({"x/0": ref(1, 2, "file://@ROOT@/data.bin")}), rule)
    yield _case(
        "valid",
        group,
        "path and file url in one manifest",
        refs({"x/0": ref(1, 2), "x/1": ref(3, 2, "file://@ROOT@/data.bin")}),
        rule,
    )
    second = {"targets": {"two.bin": base64(data_file())}}
    yield _case("valid", group, "two files", refs({"x/1": ref(3, 2, "@ROOT@/two.bin")}), rule, **second)
    for title, url in (("empty", ""), ("a number", 7), ("null", None)):
        yield _case("invalid", group, f"url is {title}", refs({"x/0": [url, 100, 4]}), rule)


def absent() -> Iterator[Case]:
    """Yield chunks that the manifest does not record."""
    group, rule = "absent chunks", "2.4"
    yield _case(
        "valid",
        group,
        "the last chunk",
        refs({"x/1": ...}),
        rule,
        arrays={"x": array([1, 2, -1, -1])},
        keys={"x/0": GOOD.hex(), "x/1": None},
    )
    yield _case(
        "valid",
        group,
        "all chunks",
        refs({"x/0": ..., "x/1": ...}),
        rule,
        arrays={"x": array([-1] * 4)},
        keys={"x/0": None},
    )
    yield _case(
        "valid",
        group,
        "fill value null reads as zero",
        refs({"x/1": ...}, fill_value=None),
        rule,
        arrays={"x": array([1, 2, 0, 0])},
        keys={"x/1": None},
    )
    yield _case(
        "valid",
        group,
        "fill value NaN",
        refs({"x/0": inline(pack("<f4", [1.5, 2.5])), "x/1": ...}, dtype="<f4", fill_value="NaN"),
        rule,
        arrays={"x": array([1.5, 2.5, float("nan"), float("nan")], "<f4")},
        keys={"x/1": None},
    )
    yield _case(
        "valid",
        group,
        "fill value -Infinity",
        refs({"x/0": inline(pack("<f4", [1.5, 2.5])), "x/1": ...}, dtype="<f4", fill_value="-Infinity"),
        rule,
        arrays={"x": array([1.5, 2.5, float("-inf"), float("-inf")], "<f4")},
        keys={"x/1": None},
    )
    yield _case("valid", group, "a key outside the grid does not matter", refs({"x/7": ref(9, 2)}), rule)


def unreachable() -> Iterator[Case]:
    """Yield chunks that the manifest records, and that cannot be had: never the fill value."""
    group, rule = "unreachable", "2.5"
    for title, value in {
        "the file is missing": ref(1, 2, "@ROOT@/none.bin"),
        "its folder is missing": ref(1, 2, "@ROOT@/none/data.bin"),
        "a whole file is missing": ["@ROOT@/none.bin"],
        "the range begins behind the end": [DATA, 5000, 4],
        "the range begins at the end": [DATA, 2100, 4],
        "the range goes beyond the end": [DATA, 2098, 4],
        "the target is a folder": ref(1, 2, "@ROOT@"),
        "a protocol that nobody knows": ref(1, 2, "nosuch://bucket/data.bin"),
        "a server that does not answer": ref(1, 2, "http://127.0.0.1:9/data.bin"),
    }.items():
        yield _case("unreachable", group, title, refs({"x/0": value}), rule)
    yield _case(
        "unreachable",
        group,
        "all files are missing",
        refs({"x/0": ref(1, 2, "@ROOT@/none.bin"), "x/1": ref(1, 2, "@ROOT@/none.bin")}),
        rule,
    )
    yield _case(
        "unreachable",
        group,
        "the file is empty",
        refs({"x/0": ["@ROOT@/empty.bin", 0, 4]}),
        rule,
        targets={"empty.bin": ""},
    )
    yield _case(
        "unreachable",
        group,
        "the file is a link to nowhere",
        refs({"x/0": ref(1, 2, "@ROOT@/link.bin")}),
        rule,
        sparse={"link.bin": {"link": "none.bin"}},
    )
