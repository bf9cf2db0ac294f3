"""Sizes as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from refmaker_cli.param_types import parse_size

from .conftest import Run


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0), ("512", 512), ("512B", 512), ("1KiB", 1024), ("1 MiB", 1 << 20), ("1.5kB", 1500), ("1.5MiB", 1572864),
        ("2GB", 2 * 10**9), ("1TiB", 1 << 40), (" 7 ", 7), ("0.3MB", 300_000), ("1PiB", 1 << 50),
    ],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "-1", "1M", "1Mi", "1iB", "MiB", "1,5MB", "1e3", "1 1", "1MiBB", "9" * 40])
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="64KiB"):
        parse_size(text)


def test_on_the_command_line(run: Run, source: Path) -> None:
    for limit, exit_code in (("1KiB", 0), ("1lot", 2)):
        result = run("scan", source, "-o", "m.json", "--inline-threshold", limit)
        assert result.exit_code == exit_code
    assert "64KiB" in result.stderr
