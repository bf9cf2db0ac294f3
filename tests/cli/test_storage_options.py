"""Options of filesystems: forms, types, files, the environment; nothing secret in what is said."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from refmaker_cli.commands import main
from refmaker_cli.storage_options import json_object, parse_options

from .conftest import Run


@pytest.mark.parametrize(
    ("given", "options"),
    [
        (["anon=true"], {"anon": True}),
        (["anon = false", "n=30", "x=0.5", "none=null"], {"anon": False, "n": 30, "x": 0.5, "none": None}),
        (["profile=prod"], {"profile": "prod"}),
        (["key=123", "secret=1e5", "token=true"], {"key": "123", "secret": "1e5", "token": "true"}),
        (["key=a=b=="], {"key": "a=b=="}),
        (['name="12"'], {"name": "12"}),
        (["kw.name=eu-1", 'kw={"verify": false}'], {"kw": {"name": "eu-1", "verify": False}}),
        (['{"anon": true}', "anon=false"], {"anon": False}),
        (['{"a": {"b": 1}}', "a.c=2"], {"a": {"b": 1, "c": 2}}),
        (["empty="], {"empty": ""}),
    ],
)  # fmt: skip
def test_forms(given: list[str], options: dict[str, object]) -> None:
    assert parse_options(given) == options


def test_files(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"anon": true}\n')
    (tmp_path / "b").write_text("# of the archive\n\nkey=AKIA\nclient_kwargs.endpoint_url = http://h\n")
    (tmp_path / "secret").write_text("s3cr=t\n")
    given = [f"@{tmp_path}/a.json", f"@{tmp_path}/b", f"secret=@{tmp_path}/secret"]
    expected = {"anon": True, "key": "AKIA", "client_kwargs": {"endpoint_url": "http://h"}, "secret": "s3cr=t"}
    assert parse_options(given) == expected


@pytest.mark.parametrize("given", ["nothing", "=x", "[1]", '"text"', "{", "@/no/such/file", "secret=@/no/such/file"])
def test_what_is_none(given: str) -> None:
    with pytest.raises(ValueError, match=r"expected|invalid JSON|cannot be read"):
        parse_options([given])


def test_large_and_binary_files(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"a" * ((1 << 20) + 1))
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("large", "binary"):
        with pytest.raises(ValueError, match="file"):
            parse_options([f"@{tmp_path}/{name}"])


def test_a_wrong_value_is_not_repeated(run: Run, source: Path) -> None:
    result = run("scan", source, "--storage-options", "hunter2")
    assert result.exit_code == 2
    assert "KEY=VALUE" in result.stderr
    assert "hunter2" not in result.output


def test_every_command_takes_all_forms() -> None:
    """Options of filesystems may be repeated, and are read by the one function that knows the forms."""
    found = 0
    for name, command in main.commands.items():
        for option in command.params:
            if option.opts[-1].endswith("-options"):
                found += 1
                assert option.callback is json_object, f"{name} {option.opts}"
                assert option.multiple, f"{name} {option.opts}: use filesystem_options"
    assert found >= 12


@pytest.mark.parametrize("value", ["auto_mkdir=true", '{"auto_mkdir": true, "skip_instance_cache": true}'])
def test_environment(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    seen = []

    @click.command()
    @click.pass_context
    def command(ctx: click.Context, storage_options: dict[str, object] | None) -> None:
        seen.append(storage_options)

    command.params = [p for p in main.commands["scan"].params if p.name == "storage_options"]
    monkeypatch.setenv("REFMAKER_SCAN_STORAGE_OPTIONS", value)
    command.main([], standalone_mode=False, auto_envvar_prefix="REFMAKER_SCAN")
    assert seen == [json.loads(value) if value.startswith("{") else {"auto_mkdir": True}]
