from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from refmaker_cli.commands import main

from refmaker.serve import run
from tests.serve.conftest import air

__all__ = ["air"]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return what `run` is called with; nothing is served."""
    calls: list[Any] = []

    def held(options: Any, listening: Any) -> None:
        calls.append(options)
        listening.close()

    monkeypatch.setattr(run, "run", held)
    return calls


def test_this_machine_unless_told_otherwise(air: Path, started: list[Any]) -> None:
    result = CliRunner().invoke(main, ["serve", str(air), "--port", "0"])
    assert result.exit_code == 0, result.output
    assert "1 manifest at http://127.0.0.1:" in result.stderr
    assert sorted(started[0].options["hosts"]) == ["127.0.0.1", "[::1]", "localhost"]
    assert started[0].options["token"] is None


def test_every_network_without_a_token_is_said(air: Path, started: list[Any]) -> None:
    result = CliRunner().invoke(main, ["serve", str(air), "--port", "0", "--host", "0.0.0.0"])
    assert "everyone" in result.stderr
    assert started[0].options["hosts"] is None
    result = CliRunner().invoke(
        main, ["serve", str(air), "--port", "0", "--host", "0.0.0.0"], env={"REFMAKER_SERVE_TOKEN": "secret"}
    )
    assert "everyone" not in result.stderr
    assert started[1].options["token"] == "secret"
    assert "secret" not in repr(started[1])


def test_what_is_no_manifest(air: Path, started: list[Any]) -> None:
    result = CliRunner().invoke(main, ["serve", str(air.parent / "air.h5")])
    assert result.exit_code == 1
    assert "refmaker scan" in result.stderr
    assert started == []
