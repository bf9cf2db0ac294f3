"""What is distributed: all packages, one version everywhere; what others run: the hook, the steps of the Action."""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import refmaker
from tests.batch.archives import write_file

ROOT = Path(__file__).resolve().parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_package_is_listed() -> None:
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "refmaker").rglob("__init__.py")}
    found = {".".join(folder.parts) for folder in folders} | {"refmaker_cli"}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == found


def test_every_file_of_a_package_that_is_no_module_is_listed() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["refmaker"]
    listed = {path for pattern in patterns for path in (ROOT / "refmaker").glob(pattern)}
    others = {path for path in (ROOT / "refmaker").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert others == listed


def test_one_version_everywhere() -> None:
    version = refmaker.__version__
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f'\n  version: "{version}"\n' in (ROOT / ".ci/conda/recipe.yaml").read_text()
    for path in (".github/actions/archive/action.yml", ".pre-commit-hooks.yaml"):
        assert set(re.findall(r"v(\d+\.\d+\.\d+)", (ROOT / path).read_text())) == {version}, path


def test_classifiers_are_what_ci_tests() -> None:
    yaml = pytest.importorskip("yaml")
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
    tested = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    prefix = "Programming Language :: Python :: 3."
    assert [f"3.{c.removeprefix(prefix)}" for c in PROJECT["project"]["classifiers"] if c.startswith(prefix)] == tested


def test_the_recipe_has_the_dependencies() -> None:
    yaml = pytest.importorskip("yaml")
    recipe = yaml.safe_load((ROOT / ".ci/conda/recipe.yaml").read_text().replace("${{", "").replace("}}", ""))
    run = {re.split(r"[ >=]", line)[0] for line in recipe["requirements"]["run"]} - {"python"}
    needed = [line for line in PROJECT["project"]["dependencies"] if ";" not in line]  # others are where wheels are
    assert run == {re.split(r"[>=]", line)[0] for line in needed}


def test_the_source_distribution_names_what_is_there() -> None:
    """Every tracked folder and file of the project is in MANIFEST.in, so that tests run from the distribution."""
    text = (ROOT / "MANIFEST.in").read_text()
    named = set(re.findall(r"^graft (\S+)", text, re.MULTILINE))
    for line in re.findall(r"^include (.+)", text, re.MULTILINE):
        named |= set(line.split())
    assert [name for name in named if not (ROOT / name).exists() and name != ".gitignore"] == []
    if not (ROOT / ".git").exists():
        return
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {path.partition("/")[0] for path in tracked.split()} - {"MANIFEST.in", "pyproject.toml"} <= named


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which `refmaker` is the one that is tested."""
    command = tmp_path / "bin/refmaker"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m refmaker_cli "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    path = os.pathsep.join([str(command.parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def run(command: list[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_the_hook(tmp_path: Path, environment: dict[str, str]) -> None:
    """The hook's entry is called as pre-commit does: with the files behind it."""
    yaml = pytest.importorskip("yaml")
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert hook["id"] == "refmaker-verify"
    for name in ("a", "b"):
        write_file(tmp_path / f"{name}.h5", ord(name))
        refmaker.scan(str(tmp_path / f"{name}.h5")).to_json(tmp_path / f"{name}.h5.json")
    names = [path.name for path in sorted(tmp_path.iterdir()) if re.search(hook["files"], path.name)]
    assert names == ["a.h5.json", "b.h5.json"]
    entry = [*shlex.split(hook["entry"]), *names]
    good = run(entry, tmp_path, environment)
    assert (good.returncode, good.stdout, good.stderr) == (0, "", "")
    write_file(tmp_path / "b.h5", 3)
    assert run(entry, tmp_path, environment).returncode != 0


def test_the_action(tmp_path: Path, environment: dict[str, str]) -> None:
    """Its steps are run by bash as the runner does, on an archive that is right, then on one that is not."""
    yaml = pytest.importorskip("yaml")
    action = yaml.safe_load((ROOT / ".github/actions/archive/action.yml").read_text())
    archive, manifests = tmp_path / "archive", tmp_path / "manifests"
    write_file(archive / "a.h5")
    assert (
        run(["refmaker", "batch", str(archive), "--out", str(manifests), "-q"], tmp_path, environment).returncode == 0
    )
    given = {name: str(one.get("default", "")) for name, one in action["inputs"].items()}
    given |= {"manifests": str(manifests), "report": str(tmp_path / "reports")}

    def statuses() -> list[int]:
        found = []
        for step in action["runs"]["steps"]:
            if step["name"] == "install":
                assert "refmaker" in step["run"] or "GITHUB_ACTION_PATH" in step["run"]
                continue
            values = {
                name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda match: given[match[1]], value)
                for name, value in step["env"].items()
            }
            command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
            found.append(run(command, tmp_path, {**environment, **values}).returncode)
        return found

    assert statuses() == [0, 0]
    assert json.loads((tmp_path / "reports/check.json").read_text())["new"] == []
    write_file(archive / "new.h5")
    write_file(archive / "a.h5", 5)
    check, verify = statuses()
    assert check == 3
    assert verify != 0
