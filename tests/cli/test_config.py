"""The configuration file: where it is, what holds over what, what was meant by what no command has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from refmaker_cli.commands import main
from refmaker_cli.config import config_file, default_map

from .conftest import Run


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> object:
    def write(text: str) -> Path:
        path = tmp_path / "config.toml"
        path.write_text(text)
        monkeypatch.setenv("REFMAKER_CONFIG", str(path))
        return path

    return write


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("REFMAKER_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert config_file() is None
    (tmp_path / "refmaker").mkdir()
    (tmp_path / "refmaker/config.toml").write_text("")
    assert config_file() == str(tmp_path / "refmaker/config.toml")
    monkeypatch.setenv("REFMAKER_CONFIG", "")
    assert config_file() is None
    monkeypatch.setenv("REFMAKER_CONFIG", "/other")
    assert config_file() == "/other"


def zarr_format(path: Path) -> int:
    text = path.read_text()
    return 3 if "zarr.json" in text else 2


def test_what_holds_over_what(run: Run, source: Path, configure: object, monkeypatch: pytest.MonkeyPatch) -> None:
    configure("[scan]\nzarr-format = 3\noutput = 'm.json'\n")
    assert run("scan", source).exit_code == 0
    assert zarr_format(Path("m.json")) == 3
    assert run("scan", source, "--zarr-format", 2).exit_code == 0
    assert zarr_format(Path("m.json")) == 2
    monkeypatch.setenv("REFMAKER_SCAN_OUTPUT", "e.json")
    assert run("scan", source).exit_code == 0
    assert zarr_format(Path("e.json")) == 3


def test_forms(configure: object) -> None:
    configure(
        'inline-limit = "32MiB"\n[storage-options]\nanon = true\n'
        '[scan]\nexclude = ["/a", "/b"]\nno-external-links = true\nno-other-files = false\n'
        'quiet = true\ninclude = "/c"\n'
    )
    made = default_map(main.commands)
    assert made["scan"] == {
        "inline_limit": "32MiB",
        "storage_options": [json.dumps({"anon": True})],
        "exclude": ["/a", "/b"],
        "follow_external_links": False,
        "quiet": True,
        "include": ["/c"],
    }
    assert made["combine"]["inline_limit"] == "32MiB"
    assert "inline_limit" not in made["info"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[scna]\n", "did you mean 'scan'"),
        ("[scan]\nzarr-fromat = 3\n", "did you mean 'zarr-format'"),
        ("zarrformat = 3\n", "did you mean 'zarr-format'"),
        ("scan = 3\n", "[scan]"),
        ("[scan]\nzarr-format = {a = 1}\n", "takes no table"),
        ("[scan\n", "not TOML"),
    ],
)
def test_mistakes(run: Run, source: Path, configure: object, text: str, said: str) -> None:
    path = configure(text)
    result = run("scan", source)
    assert result.exit_code == 1
    assert said in result.stderr
    assert str(path) in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_file_that_is_not_there(run: Run, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFMAKER_CONFIG", "/no/such/file.toml")
    result = run("scan", source)
    assert (result.exit_code, "/no/such/file.toml" in result.stderr) == (1, True)


def test_nothing_is_read_from_the_working_directory(run: Run, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REFMAKER_CONFIG", raising=False)
    for name in ("config.toml", "refmaker.toml", ".refmaker.toml"):
        Path(name).write_text("nonsense = 1")
    assert run("scan", source, "-o", "m.json").exit_code == 0
