"""Runs of rows against the plain parser: the same manifest, or the same refusal, however the JSON is spelt."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refmaker.errors import ManifestError
from refmaker.kerchunk import fast_json_reader
from refmaker.kerchunk import json_reader as reader
from refmaker.kerchunk.fast_json_reader import parse_with_runs
from refmaker.kerchunk.json_writer import iter_json, read_json
from refmaker.manifest import Manifest, Target
from tests.kerchunk.making import array, comparable, manifests, rows


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_json_reader, "WORTHWHILE", 0)
    monkeypatch.setattr(reader, "_MANY", 3)
    monkeypatch.setattr(fast_json_reader, "_FEW", 2)


def plainly(data: bytes) -> Any:
    """Read a manifest without runs: what it says, or the error."""
    limit, fast_json_reader.WORTHWHILE = fast_json_reader.WORTHWHILE, 1 << 60
    try:
        return read(data)
    finally:
        fast_json_reader.WORTHWHILE = limit


def read(data: bytes) -> Any:
    try:
        return by_url(read_json(data, source="m.json"))
    except ManifestError as error:
        return str(error)


def by_url(manifest: Manifest) -> Any:
    """Return a manifest with targets by their url: the order in which they are met is not part of it."""
    urls = [target.url for target in manifest.targets]
    _, groups, arrays, rest = comparable(manifest)
    for path, (metadata, attributes, grid, columns, inline, whole) in arrays.items():
        columns[1] = [urls[code] for code in columns[1]]
        arrays[path] = (metadata, attributes, grid, columns, inline, {cell: urls[c] for cell, c in whole.items()})
    targets = sorted(map(repr, manifest.targets))
    return manifest.zarr_format, groups, arrays, rest, targets, manifest.outside


SPELLINGS: list[dict[str, Any]] = [
    {},
    {"separators": (",", ":")},
    {"indent": 1},
    {"indent": "\t", "separators": (" ,", " : ")},
    {"ensure_ascii": False},
    {"sort_keys": True},
]


def taken(data: bytes) -> int:
    found = parse_with_runs(data)
    return 0 if found is None else sum(len(run.start) for run in found[2])


@settings(deadline=None, max_examples=150)
@given(
    manifests(),
    st.sampled_from(SPELLINGS),
    st.booleans(),
    st.randoms(use_true_random=False),
    st.sampled_from([60, 999, 1 << 20]),
)
def test_as_the_plain_parser(
    held: Manifest, spelling: dict[str, Any], v0: bool, chance: random.Random, block: int
) -> None:
    document = json.loads(b"".join(iter_json(held)))
    if v0:
        document = document["refs"]
    elif chance.random() < 0.5:
        items = list(document["refs"].items())
        chance.shuffle(items)
        document["refs"] = dict(items)
    data = json.dumps(document, **spelling).encode()
    before, fast_json_reader._BLOCK = fast_json_reader._BLOCK, block
    try:
        assert read(data) == plainly(data)
    finally:
        fast_json_reader._BLOCK = before


def many(count: int = 300) -> Manifest:
    held = rows(range(count), range(count), range(7, count + 7), [cell % 40 // 20 for cell in range(count)])
    held.inline = {count: b"x"}
    scalar = array((), rows([0], [5], [6]))
    arrays = {
        "g/x": array((count + 1,), held),
        "t": scalar,
        "y": array((20, 20), rows(range(400), [1] * 400, [2] * 400)),
    }
    return Manifest(2, {"": {}, "g": {}}, arrays, (Target("s3://bucket/a"), Target("b,]:[1")))


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_they_are_taken(spelling: dict[str, Any]) -> None:
    document = json.loads(b"".join(iter_json(many())))
    for value in (document, document["refs"]):
        data = json.dumps(value, **spelling).encode()
        assert taken(data) > 600
        assert read(data) == plainly(data)
    assert taken(b"".join(iter_json(many()))) > 600


def row(key: str = "x/5", value: str = '["u",1,2]') -> str:
    return f'"{key}":{value}'


def document(*members: str, count: int = 40, head: str = "", tail: str = "") -> bytes:
    zarray = '"x/.zarray":{"zarr_format":2,"shape":[99],"chunks":[1],"dtype":"<i4"}'
    plain = [row(f"x/{number}") for number in range(10, 10 + count)]
    middle = [*plain[: count // 2], *members, *plain[count // 2 :]]
    return f'{{"version":1,{head}"refs":{{{",".join([zarray, *middle])}}}{tail}}}'.encode()


@pytest.mark.parametrize(
    "member",
    [
        row(value='["u",1,2,3]'),
        row(value='["u",1]'),
        row(value='["u"]'),
        row(value='["u",-1,2]'),
        row(value='["u",01,2]'),
        row(value='["u",1.0,2]'),
        row(value='["u",1e3,2]'),
        row(value='["u",true,2]'),
        row(value='["u",,2]'),
        row(value='["u",1,2'),
        row(value='["u",1,2]]'),
        row(value='["u" ,1,2]'),
        row(value='["u",1,2 ]'),
        row(value='[ "u",1,2]'),
        row(value='["u",1\x0b,2]'),
        row(value='["u",9999999999999999999,2]'),
        row(value='["u",18446744073709551615,2]'),
        row(value='["u",18446744073709551616,2]'),
        row(value=f'["u",{"9" * 5000},2]'),
        row(value='["u\\u0041",1,2]'),
        row(value='["u\\"",1,2]'),
        row(value='["u\n",1,2]'),
        row(value='["u\x7f",1,2]'),
        row(value='["",1,2]'),
        row(value='["a,1,2]",1,2]'),
        row(value='["{{t}}",1,2]'),
        row(value='"base64:AAAA"'),
        row(value='{"a": ["u",1,2]}'),
        row(value="null"),
        row("x\\/5"),
        row("x/05"),
        row("x/98"),
        row("x/99"),
        row("x/500000000000000000000"),
        row("x/"),
        row("x/a"),
        row("x/.zattrs"),
        row("x/.zarray"),
        row(".zmetadata"),
        row("x"),
        row("y/1"),
        row("/x/5"),
        row("é/5"),
        row("x/11"),
        row("x/11", '["u",1,3]'),
        row("x/11", '"text"'),
        row("x/11", '["u"]'),
        "",
        "5",
        '"x/5"',
        '"x/5" ["u",1,2]',
    ],
)
def test_odd_members_among_rows(member: str) -> None:
    for data in (
        document(member),
        document(member, count=3),
        document(*[member] * 5),
        document(tail=f',"gen":[],{member}'),
        document(head=f"{member},"),
        document(member).replace(b":", b" : "),
        document(member, head='"templates":{"t":"v"},'),
    ):
        assert read(data) == plainly(data)


@pytest.mark.parametrize(
    "data",
    [
        document()[:-1],
        document() + b" ",
        document() + b"x",
        b"\xef\xbb\xbf" + document(),
        b" " + document(),
        document().replace(b'"version":1,', b""),
        document().replace(b'"version":1,', b'"version":2,'),
        document().replace(b'"version":1,', b'"version":1,"refs":{},'),
        document(tail=',"refs":{}'),
        document(tail=',"refs":3'),
        document(head=",".join(row(f"x/{i}") for i in range(9)) + ","),
        document(tail="," + ",".join(row(f"x/{i}") for i in range(9))),
        document(tail=',"gen":[{"key":"x/{{i}}","url":"u","dimensions":{"i":{"stop":3}}}]'),
        document(tail=',"refmaker":{"format":1,"targets":[{"url":"u"}]}'),
        document(tail=',"refmaker":{"format":1,"targets":[{"url":"v"}]}'),
        document(tail=',"templates":{"u":"{{c}}"}'),
        b'{"version":1,"refs":{' + b",".join(row(f"x/{i}").encode() for i in range(50)) + b"}}",
        b"{" + b",".join(row(f"x/{i}").encode() for i in range(50)) + b"}",
        b"{" + b",".join(row(f"x/{i}").encode() for i in range(50)),
        b'{"a":[' + b'"b",":[",' * 50 + b"1]}",
        b'{"a":["a",' + b'":[",",123,456],",' * 50 + b'"b"]}',
    ],
)
def test_odd_documents(data: bytes) -> None:
    assert read(data) == plainly(data)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(
        st.tuples(st.integers(0, 1300), st.sampled_from(list('"\\,:[]{} \n0123456789-.eEx/u')), st.integers(0, 2)),
        min_size=1,
        max_size=3,
    )
)
def test_changed_text(edits: list[tuple[int, str, int]]) -> None:
    data = bytearray(document('"t":"v"'))
    for at, new, length in edits:
        at %= len(data)
        data[at : at + length] = new.encode()
    assert read(bytes(data)) == plainly(bytes(data))
