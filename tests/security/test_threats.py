"""docs/security.md names tests that exist, and tests of this folder are named there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/security.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[a-z0-9_/]+\.py)::([a-z0-9_]+)`", TEXT)))
ROWS = [line for line in TEXT.splitlines() if line.startswith("| ") and "threat" not in line and "| test |" not in line]


@cache
def functions_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return frozenset(
        node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_named_tests_exist(path: str, name: str) -> None:
    assert name in functions_in(path)


def test_every_threat_has_a_test() -> None:
    assert len(ROWS) > 60
    assert [row for row in ROWS if not re.search(r"`tests/[^`]+::test_[^`]+` *\|", row)] == []


def test_every_test_here_is_named() -> None:
    named = {(path, name) for path, name in NAMED}
    folder = Path(__file__).parent
    missing = [
        f"{path.name}::{name}"
        for path in sorted(folder.glob("test_*.py"))
        if path != Path(__file__)
        for name in sorted(functions_in(path.relative_to(ROOT).as_posix()))
        if (path.relative_to(ROOT).as_posix(), name) not in named and name not in OTHERS
    ]
    assert missing == []


OTHERS = {
    "test_known_codecs_are_those_that_readers_have",
    "test_json_of_a_server_is_a_manifest_only_where_one_is_asked_for",
    "test_outputs_in_the_place_of_something_else",
}
"""Tests that hold no line of the table by themselves."""
