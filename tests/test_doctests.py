"""The examples in the docstrings of public names, run as a reader would: in an empty directory."""

from __future__ import annotations

import doctest
import inspect
from pathlib import Path

import pytest

import refmaker

NAMES = [name for name in refmaker.__all__ if callable(getattr(refmaker, name))]
OWN = ("append", "check", "combine", "open_manifest", "scan", "scan_many", "verify", "write_manifest")


@pytest.mark.parametrize("name", NAMES)
def test_examples_hold(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    public = getattr(refmaker, name)
    found = [test for test in doctest.DocTestFinder(recurse=False).find(public, name, globs={}) if test.examples]
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    said: list[str] = []
    for test in found:
        runner.run(test, out=said.append)
    assert runner.failures == 0, "".join(said)
    if name in (*OWN, "Manifest", "ManifestArray", "References", "Target"):
        assert found, "a public name has an example"


@pytest.mark.parametrize("name", OWN)
def test_functions_are_documented(name: str) -> None:
    function = getattr(refmaker, name)
    text = inspect.getdoc(function) or ""
    assert "Parameters\n---" in text
    assert "Raises\n---" in text
    for parameter in inspect.signature(function).parameters.values():
        told = f"\n{parameter.name}\n" in text or f"`{parameter.name}`" in text or f"{parameter.name}, " in text
        shared = parameter.name in {**refmaker.ScanOptions.__annotations__, **refmaker.CombineOptions.__annotations__}
        assert told or shared, parameter.name
