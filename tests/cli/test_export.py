from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner
from refmaker_cli.commands import main

from tests.serve.conftest import air

__all__ = ["air"]


def test_export(air: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["export", str(air), "--tree", str(tmp_path / "out"), "--verify"])
    assert result.exit_code == 3, result.output
    assert "verified" in result.stderr
    assert "/refused: no Zarr has this" in result.stderr
    assert (tmp_path / "out" / ".zmetadata").exists()


def test_selections(air: Path, tmp_path: Path) -> None:
    arguments = ["export", str(air), "--tree", str(tmp_path / "out"), "--select"]
    assert CliRunner().invoke(main, [*arguments, "time"]).exit_code == 2
    assert CliRunner().invoke(main, [*arguments, "nothing=0:1"]).exit_code == 1
