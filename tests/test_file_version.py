"""The one rule for whether a file is still the same: a table of cases, and what holds for all of them."""

from __future__ import annotations

import ast
import datetime as dt
import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refmaker.errors import RefmakerError, TargetChanged
from refmaker.file_version import (
    Check,
    FileVersion,
    Target,
    check_unchanged,
    etag_of,
    is_weak,
    opaque,
    same_strong,
    time_of,
)
from refmaker.manifest.manifest import Target as TargetOfManifests

STRONG, WEAK, OTHER, WEAK_OTHER = '"a"', 'W/"a"', '"b"', 'W/"b"'
ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    ("then", "now", "differs", "basis"),
    [
        # strong ETags decide, beside the size
        ((5, STRONG, 1.0), (5, STRONG, 1.0), (), "strong ETag"),
        ((5, STRONG, 1.0), (5, STRONG, 2.0), (), "strong ETag"),
        ((5, STRONG, 1.0), (5, OTHER, 1.0), ("ETag",), "strong ETag"),
        ((5, STRONG, 1.0), (6, STRONG, 1.0), ("bytes",), "strong ETag"),
        ((5, "a", None), (5, STRONG, None), (), "strong ETag"),
        # a weak one never decides alone
        ((5, WEAK, 1.0), (5, WEAK, 1.0), (), "modification time"),
        ((5, WEAK, 1.0), (5, WEAK, 2.0), ("modified",), "modification time"),
        ((5, WEAK, 1.0), (5, STRONG, 2.0), ("modified",), "modification time"),
        ((5, STRONG, 1.0), (5, WEAK, 2.0), ("modified",), "modification time"),
        ((5, WEAK, 1.0), (5, WEAK_OTHER, 1.0), ("ETag",), "modification time"),
        ((5, WEAK, 1.0), (6, WEAK, 1.0), ("bytes",), "modification time"),
        ((5, 'w/"a"', 1.0), (5, WEAK, 2.0), ("modified",), "modification time"),
        # where there is no time, it is said that no more than it was compared
        ((5, WEAK, None), (5, WEAK, 2.0), (), "weak ETag"),
        ((5, WEAK, None), (5, WEAK_OTHER, None), ("ETag",), "weak ETag"),
        # times, where there is no ETag on one side
        ((5, None, 1.0), (5, STRONG, 1.0), (), "modification time"),
        ((5, None, 1.0), (5, STRONG, 2.0), ("modified",), "modification time"),
        ((5, STRONG, 0.0), (5, None, 1.0), ("modified",), "modification time"),
        # sizes alone, or nothing
        ((5, None, None), (5, STRONG, 1.0), (), "size"),
        ((5, None, None), (6, STRONG, 1.0), ("bytes",), "size"),
        ((0, None, None), (6, None, None), ("bytes",), "size"),
        ((None, STRONG, None), (6, None, 1.0), (), "nothing"),
    ],
)
def test_the_rule(then: tuple, now: tuple, differs: tuple[str, ...], basis: str) -> None:
    one, other = FileVersion(*then), FileVersion(*now)
    found = one.differences(other)
    assert [part for part in ("bytes", "ETag", "modified") if any(part in text for text in found)] == list(differs)
    assert len(found) == len(differs)
    assert one.basis(other) == basis


def versions() -> st.SearchStrategy[FileVersion]:
    return st.builds(
        FileVersion,
        st.none() | st.integers(0, 2),
        st.none() | st.sampled_from([STRONG, WEAK, OTHER, WEAK_OTHER, "a", ""]).filter(bool),
        st.none() | st.sampled_from([0.0, 1.0, 1.25, 1.75, 2.0]),
        st.booleans(),
    )


@given(versions(), versions())
def test_what_holds_for_all(one: FileVersion, other: FileVersion) -> None:
    assert one.difference(one) is None
    assert bool(one.difference(other)) == bool(other.difference(one))
    assert one.basis(other) == other.basis(one)
    assert one.difference(other, "off") is None
    sizes = None not in (one.size, other.size) and one.size != other.size
    assert (one.difference(other, "size") is not None) == sizes
    assert set(one.differences(other, "size")) <= set(one.differences(other))


@given(versions(), versions())
def test_what_is_the_same_file_agrees_in_all_that_counts(one: FileVersion, other: FileVersion) -> None:
    if one.difference(other) is not None:
        return
    if one.size is not None and other.size is not None:
        assert one.size == other.size
    if one.etag is not None and other.etag is not None:
        assert opaque(one.etag) == opaque(other.etag)
        if not is_weak(one.etag) and not is_weak(other.etag):
            return
    if one.modified is not None and other.modified is not None:
        assert int(one.modified) == int(other.modified)
        assert one.coarse or other.coarse or one.modified == other.modified


def test_times_as_exact_as_the_store_has_them() -> None:
    then = FileVersion(5, None, 1732319999.1234567)
    assert then.difference(FileVersion(5, None, 1732319999.1234569)) is None
    assert then.difference(FileVersion(5, None, 1732319999.0)) is not None
    assert then.difference(FileVersion(5, None, 1732319999.0, coarse=True)) is None
    assert then.difference(FileVersion(5, None, 1732319998.0, coarse=True)) is not None


def test_what_a_server_sends_is_shown_within_bounds() -> None:
    text = FileVersion(5, "a" * 10_000).difference(FileVersion(5, '"\n\x1b[31m"'))
    assert text is not None
    assert len(text) < 300
    assert text.isprintable()


def test_nobody_else_compares_etags_or_times() -> None:
    """A second rule is how a file that was rewritten behind an equal weak ETag came to be read without an error."""
    names = {"etag", "mtime", "modified"}
    found = []
    for path in sorted((ROOT / "refmaker").rglob("*.py")):
        if path.name == "file_version.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
                sides = [node.left, *node.comparators]
                if any(isinstance(side, ast.Attribute) and side.attr in names for side in sides):
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found == [], found


MOMENT = dt.datetime(2020, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
NOW = 1732319999.1234567


@pytest.mark.parametrize(("info", "etag", "modified"), [
    ({"ETag": '"abc"'}, '"abc"', None),
    ({"etag": "abc", "LastModified": MOMENT}, "abc", MOMENT.timestamp()),
    ({"ETag": "", "mtime": 7.5}, None, 7.5),
    ({"mtime": 7.5, "created": 8.5}, None, 7.5),
    ({"updated": "2020-01-02T03:04:05+00:00"}, None, MOMENT.timestamp()),
    ({"updated": "1970-01-01T00:00:07Z"}, None, 7.0),
    ({"Last-Modified": "Thu, 02 Jan 2020 03:04:05 GMT"}, None, MOMENT.timestamp()),
    ({"Last-Modified": "yesterday", "created": 3}, None, 3.0),
    ({"updated": "yesterday"}, None, None),
    ({"mtime": True}, None, None),
    ({"mtime": None}, None, None),
    ({}, None, None),
])  # fmt: skip
@pytest.mark.parametrize(("size", "known"), [(5, 5), (0, 0), (None, None), (True, None), ("5", None)])
def test_what_a_filesystem_says(
    info: dict[str, object], etag: str | None, modified: float | None, size: object, known: int | None
) -> None:
    assert (etag_of(info), time_of(info)) == (etag, modified)
    assert FileVersion.of({**info, "size": size}) == FileVersion(known, etag, modified)


def test_what_the_headers_of_an_answer_say() -> None:
    headers = {"ETag": 'W/"a"', "Last-Modified": "Thu, 02 Jan 2020 03:04:05 GMT", "created": "3", "size": "9"}
    assert FileVersion.of_headers(7, headers) == FileVersion(7, 'W/"a"', MOMENT.timestamp(), coarse=True)
    assert FileVersion.of_headers(None, {"ETag": "", "created": "3"}) == FileVersion(coarse=True)


def test_what_the_system_says(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1234")
    os.utime(tmp_path / "a", (1, 1.5))
    assert FileVersion.of_status(os.stat(tmp_path / "a")) == FileVersion(4, None, 1.5)


@pytest.mark.parametrize(
    ("then", "now", "strict", "size"),
    [
        ((), (5, "e", 1.0), 0, 0),
        ((5, "e", 1.0), (), 0, 0),
        ((5,), (6, "e", 1.0), 1, 1),
        ((0,), (6, "e", 1.0), 1, 1),
        ((5, "e", 1.0), (5, "f", 1.0), 1, 0),
        ((5, "e", 1.0), (5, "e", 2.0), 0, 0),  # the same contents, uploaded again
        ((5, None, 1.0), (5, "e", 2.0), 1, 0),
        ((5, "e"), (5, '"e"'), 0, 0),
        ((5, None, NOW), (5, None, json.loads(json.dumps(NOW))), 0, 0),
        ((5, None, NOW), (5, None, NOW + 2e-6), 1, 0),
        ((5, "e"), (6, "f"), 2, 1),
    ],
)
def test_how_closely_is_looked(then: tuple, now: tuple, strict: int, size: int) -> None:
    counts: dict[Check, int] = {"strict": strict, "size": size, "off": 0}
    target, seen = Target("u", *then), FileVersion(*now)
    assert {check: len(target.version.differences(seen, check)) for check in counts} == counts


def test_a_scan_ends_when_its_file_changes() -> None:
    then = FileVersion(5, STRONG, 1.0)
    check_unchanged("u", then, FileVersion(5, STRONG, 2.0))
    with pytest.raises(TargetChanged, match=r"u: .*5 bytes then, 6 now; ETag") as caught:
        check_unchanged("u", then, FileVersion(6, OTHER))
    assert "scan it again" in str(caught.value)


def test_the_record_of_a_file_is_its_place_and_its_version() -> None:
    target = Target("s3://b/a.nc", 5, STRONG, 1.0)
    assert TargetOfManifests is Target
    assert Target.of(target.url, target.version) == target
    assert target.version == FileVersion(5, STRONG, 1.0)
    assert Target("u").version == FileVersion()
    assert asdict(target) == {"url": "s3://b/a.nc", "size": 5, "etag": STRONG, "mtime": 1.0}
    assert replace(target, url="v").version == target.version
    assert "hunter2" not in repr(Target("https://me:hunter2@host/a"))


def test_an_opened_file_has_a_size() -> None:
    assert FileVersion(0).known_size == 0
    with pytest.raises(RefmakerError, match="size"):
        _ = FileVersion().known_size


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('"a"', '"a"', True),
        ('"a"', '"b"', False),
        ('W/"a"', 'W/"a"', False),
        ('"a"', 'W/"a"', False),
        ('"a"', None, False),
    ],
)
def test_strong_and_the_same(one: str, other: str | None, same: bool) -> None:
    assert same_strong(one, other) is same
