"""`-v`: what is logged goes to stderr without secrets, and logging is as before afterwards."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from refmaker_cli.commands import main

from .conftest import Run


@pytest.mark.parametrize(("flag", "shown"), [(None, []), ("-v", ["info"]), ("-vv", ["info", "debug"])])
def test_levels(run: Run, source: Path, monkeypatch: pytest.MonkeyPatch, flag: str | None, shown: list[str]) -> None:
    import refmaker

    real = refmaker.scan_file

    def scan_file(*args: object, **options: object) -> object:
        logger = logging.getLogger("refmaker.test")
        logger.info("info https://user:pass@host/x")
        logger.debug("debug https://user:pass@host/x")
        return real(*args, **options)

    monkeypatch.setattr(refmaker, "scan_file", scan_file)
    before = (logging.getLogger().level, list(logging.getLogger().handlers))
    result = run("info", source, *([flag] if flag else []))
    assert result.exit_code == 0
    lines = [line for line in result.stderr.splitlines() if "refmaker.test" in line]
    assert [line.rpartition(": ")[2].split()[0] for line in lines] == shown
    assert "pass" not in result.stderr
    assert (logging.getLogger().level, list(logging.getLogger().handlers)) == before


def test_every_command_has_it() -> None:
    for name, command in main.commands.items():
        assert sum("--verbose" in param.opts for param in command.params) == 1, name
