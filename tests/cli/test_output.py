"""Printing: whatever names hold, sizes for people, columns."""

from __future__ import annotations

import pytest
from refmaker_cli.output import columns, human_size, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é", "plain é"),
        ("a\nb", r"a\nb"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\udcff", r"\udcff"),
        ("a\u202eb", r"a\u202eb"),
        ("", ""),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (12_345_678_901, "12.3 GB"),
        (2**64, "18.4 EB"),
        (10**22, "10000.0 EB"),
    ],
)
def test_human_size(size: int, shown: str) -> None:
    assert human_size(size) == shown


def test_columns() -> None:
    assert columns([["a", "size"], ["long\n", "1"]], right=frozenset({1})) == ["a       size", "long\\n     1"]
