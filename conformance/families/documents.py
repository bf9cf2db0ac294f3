"""The document: versions, JSON, templates, generators."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from building import DATA, Case, array, dims, name_of, pack, ref, refs, version1, zarray

X = {"x": array([1, 2, 3, 4])}
CHUNKS = {"x/0": pack("<i2", [1, 2]).hex(), "x/1": pack("<i2", [3, 4]).hex()}


def _valid(group: str, title: str, text: str, rule: str, **more: Any) -> Case:
    return Case(name_of(group, title), group, title, "valid", rule, text, **{"arrays": X, "keys": CHUNKS, **more})


def _invalid(group: str, title: str, text: str, rule: str, **more: Any) -> Case:
    return Case(name_of(group, title), group, title, "invalid", rule, text, broken="x", **more)


def cases() -> Iterator[Case]:
    """Yield the cases of this family."""
    yield from versions()
    yield from syntax()
    yield from templates()
    yield from generators()


def versions() -> Iterator[Case]:
    """Yield documents of all versions."""
    group, rule = "version", "1.1"
    yield _valid(group, "version 1", version1(refs()), rule)
    yield _valid(group, "version 0: references at the top", json.dumps(refs()), rule)
    yield _valid(group, "version 1, its member last", json.dumps({"refs": refs(), "version": 1}), rule)
    yield _valid(group, "version 1 with empty templates", version1(refs(), templates={}), rule)
    yield _valid(group, "version 1 with an empty gen", version1(refs(), gen=[]), rule)
    yield _valid(group, "a member that nobody knows", version1(refs(), note="made for tests"), rule)
    yield _valid(group, "version 0, keys in reverse order", json.dumps(dict(reversed(refs().items()))), rule)
    for title, version in (
        ("2", 2),
        ("the text 1", "1"),
        ("null", None),
        ("-1", -1),
        ("1.5", 1.5),
        ("a list", [1]),
        ("true", True),
    ):
        text = json.dumps({"version": version, "refs": refs()})
        yield _invalid(group, f"version is {title}", text, rule)
    yield _invalid(group, "refs without a version", json.dumps({"refs": refs()}), rule)
    yield _invalid(group, "version without refs", json.dumps({"version": 1}), rule)
    yield _invalid(group, "refs is a list", json.dumps({"version": 1, "refs": [refs()]}), rule)
    yield _invalid(group, "the document is a list", json.dumps([refs()]), rule)
    yield _invalid(group, "the document is a number", "1", rule)


def syntax() -> Iterator[Case]:
    """Yield what JSON may and may not be."""
    group, rule = "JSON", "1.2"
    sound = version1(refs())
    yield _valid(
        group, "escapes in keys and urls", sound.replace("x/0", "x\\u002f0").replace("data", "d\\u0061ta"), rule
    )
    yield _valid(group, "white space everywhere", json.dumps(json.loads(sound), indent=3), rule)
    yield _valid(group, "no white space", json.dumps(json.loads(sound), separators=(",", ":")), rule)
    yield _valid(group, "metadata as objects, not texts", version1(_as_objects(refs())), rule)
    bare = refs({"x/.zattrs": '{"_ARRAY_DIMENSIONS": ["i"], "valid_max": NaN}'})
    yield _valid(group, "a bare NaN in attributes, as Python writes it", version1(bare), rule)
    yield _invalid(group, "empty file", "", rule)
    yield _invalid(group, "cut in the middle", sound[: len(sound) // 2], rule)
    yield _invalid(group, "text behind the end", sound + "{}", rule)
    yield _invalid(group, "a comma too many", sound[:-1] + ",}", rule)
    other = sound[:-2] + ', "x/1": ' + json.dumps(ref(9, 2)) + "}}"
    yield _invalid(group, "a key twice with two references", other, rule)
    yield _invalid(group, "NaN as an offset", sound.replace("100, 4", "NaN, 4"), rule)
    yield _invalid(group, "metadata that are not JSON", version1(refs({"x/.zarray": "{not json"})), rule)
    yield _invalid(group, "metadata that are a number", version1(refs({"x/.zarray": "5"})), rule)
    yield _invalid(
        group,
        "metadata twice with two shapes",
        sound[:-2] + ', "x/.zarray": ' + json.dumps(zarray(shape=[2])) + "}}",
        rule,
    )


def _as_objects(references: dict[str, Any]) -> dict[str, Any]:
    return {key: json.loads(value) if isinstance(value, str) else value for key, value in references.items()}


def templates() -> Iterator[Case]:
    """Yield templates."""
    group, rule = "templates", "1.3"
    used = refs({"x/0": ref(1, 2, "{{u}}"), "x/1": ref(3, 2, "{{u}}")})
    yield _valid(group, "a whole url", version1(used, templates={"u": DATA}), rule)
    part = refs({"x/0": ref(1, 2, "{{r}}/data.bin"), "x/1": ref(3, 2, "{{r}}/data.bin")})
    yield _valid(group, "the beginning of a url", version1(part, templates={"r": "@ROOT@"}), rule)
    two = refs({"x/0": ref(1, 2, "{{r}}/{{n}}"), "x/1": ref(3, 2, "{{r}}/data.bin")})
    yield _valid(group, "two in a url", version1(two, templates={"r": "@ROOT@", "n": "data.bin"}), rule)
    yield _valid(group, "one that nobody uses", version1(refs(), templates={"u": "@ROOT@/none.bin"}), rule)
    single = refs({"x/0": ref(1, 2, "@ROOT@/{a}.bin"), "x/1": ref(3, 2, "@ROOT@/{a}.bin")})
    from building import base64, data_file

    yield _valid(
        group,
        "single braces are no template",
        version1(single, templates={"a": "b"}),
        rule,
        targets={"{a}.bin": base64(data_file())},
    )
    yield _valid(
        group,
        "braces in inline data are no template",
        version1(refs({"x/0": "{{u}", "x/1": ref(3, 2)}), templates={"u": DATA}),
        rule,
        arrays={"x": array([31611, 32117, 3, 4])},
        keys={"x/0": b"{{u}".hex()},
    )
    yield _invalid(group, "a name that is not there", version1(used, templates={"v": DATA}), rule)
    yield _invalid(group, "a template that is a number", version1(used, templates={"u": 5}), rule)
    yield _invalid(group, "a template that is null", version1(used, templates={"u": None}), rule)
    yield _invalid(group, "templates is a list", version1(used, templates=["u"]), rule)
    yield _invalid(
        group,
        "an attribute of a text",
        version1(refs({"x/0": ref(1, 2, "{{u.__class__}}"), "x/1": ref(3, 2)}), templates={"u": DATA}),
        rule,
    )


def generators() -> Iterator[Case]:
    """Yield generators."""
    group, rule = "generators", "1.4"
    empty = refs({"x/0": ..., "x/1": ...})
    gen = {"key": "x/{{i}}", "url": DATA, "offset": "{{100 + i * 4}}", "length": "4", "dimensions": {"i": {"stop": 2}}}
    yield _valid(group, "a range", version1(empty, gen=[gen]), rule)
    yield _valid(group, "a list of values", version1(empty, gen=[{**gen, "dimensions": {"i": [0, 1]}}]), rule)
    yield _valid(
        group,
        "start and step",
        version1(
            empty,
            gen=[
                {
                    **gen,
                    "key": "x/{{i // 2 - 1}}",
                    "offset": "{{96 + i * 2}}",
                    "dimensions": {"i": {"start": 2, "stop": 6, "step": 2}},
                }
            ],
        ),
        rule,
    )
    yield _valid(group, "with a template", version1(empty, gen=[{**gen, "url": "{{u}}"}], templates={"u": DATA}), rule)
    square = {
        ".zgroup": '{"zarr_format": 2}',
        "x/.zarray": zarray(shape=[2, 2], chunks=[1, 1]),
        "x/.zattrs": dims("i", "j"),
    }
    both = {
        **gen,
        "key": "x/{{i}}.{{j}}",
        "offset": "{{100 + i * 4 + j * 2}}",
        "length": "2",
        "dimensions": {"i": {"stop": 2}, "j": {"stop": 2}},
    }
    yield _valid(
        group,
        "two dimensions",
        version1(square, gen=[both]),
        rule,
        arrays={"x": array([1, 2, 3, 4], shape=[2, 2])},
        keys={"x/1.0": pack("<i2", [3]).hex()},
    )
    broken = {
        "offset without length": {k: v for k, v in gen.items() if k != "length"},
        "no dimensions": {k: v for k, v in gen.items() if k != "dimensions"},
        "no key": {k: v for k, v in gen.items() if k != "key"},
        "a name that is not there": {**gen, "offset": "{{100 + k * 4}}"},
        "division by zero": {**gen, "offset": "{{100 // (i - i)}}"},
        "a negative offset": {**gen, "offset": "{{i * 4 - 100}}"},
        "a call": {**gen, "offset": "{{range(100)}}"},
        "step 0": {**gen, "dimensions": {"i": {"start": 0, "stop": 2, "step": 0}}},
        "10^18 references": {**gen, "dimensions": {"i": {"stop": 10**18}}},
    }
    for title, generator in broken.items():
        yield _invalid(group, title, version1(empty, gen=[generator]), rule)
