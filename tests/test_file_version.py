"""The one rule for whether a file is still the same: a table of cases, and what holds for all of them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refmaker.file_version import FileVersion, is_weak, opaque

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
