"""Completion: the scripts are those of the shells, and commands and options are completed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from .conftest import Run


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(run: Run, shell: str) -> None:
    result = run("completion", shell)
    assert result.exit_code == 0
    assert f"_REFMAKER_COMPLETE={shell}_complete" in result.stdout
    if shutil.which(shell):
        done = subprocess.run([shell, "-n"], input=result.stdout, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "expected"), [("refmaker ver", ["plain,verify"]), ("refmaker info --pl", ["plain,--plot"])]
)
def test_words(words: str, expected: list[str]) -> None:
    given = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")), "_REFMAKER_COMPLETE": "bash_complete"}
    code = "from refmaker_cli.main import main; main(prog_name='refmaker')"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **given}, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == expected
