"""The conformance kit: its cases are what its script makes, it tells right from wrong, and refmaker is never wrong."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
KIT = ROOT / "conformance"
CASES = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted((KIT / "cases").glob("*.json"))}

REFUSED = {
    # A shard that is not there may be one that was lost; `missing_shards="empty"` takes it for an empty one.
    "parquet-an-array-without-shards",
}
"""What refmaker may refuse although it could be read."""


def _run(script: str, *arguments: str, folder: Path) -> dict[str, list[dict[str, str]]]:
    found = folder / "found.json"
    command = [sys.executable, str(KIT / script), *arguments, "--json", str(found)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert found.exists(), done.stderr
    held: dict[str, list[dict[str, str]]] = json.loads(found.read_text("utf-8"))
    return held


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"conformance_{name}", KIT / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_cases_are_what_the_script_makes() -> None:
    done = subprocess.run(
        [sys.executable, str(KIT / "make.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert len(CASES) >= 150


def test_every_case_says_what_is_expected_and_which_rule_it_holds() -> None:
    text = (KIT / "SPECIFICATION.md").read_text("utf-8")
    rules = set(re.findall(r"^#+ ([\d.]+\d|\d)\.? ", text, re.MULTILINE))
    for name, case in CASES.items():
        assert case["name"] == name
        assert case["rule"] in rules, name
        assert ("broken" in case) == (case["kind"] != "valid"), name
        assert ("arrays" in case) == (case["kind"] != "invalid"), name


def test_refmaker_is_never_wrong_and_refuses_nothing_else(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    rows = _run("run.py", "--reader", "refmaker", folder=tmp_path)["refmaker"]
    assert len(rows) == len(CASES)
    assert [(row["name"], row["why"]) for row in rows if row["verdict"] in ("wrong", "crash")] == []
    assert {row["name"] for row in rows if row["verdict"] == "refused"} <= REFUSED


def test_stock_fsspec_reads_the_plain_ones_and_the_kit_sees_what_it_gets_wrong(tmp_path: Path) -> None:
    rows = _run("run.py", "--reader", "fsspec", "--case", "[gu]*-a-*", folder=tmp_path)["fsspec"]
    verdicts = {row["name"]: row["verdict"] for row in rows}
    assert verdicts["urls-a-path-with-a-blank"] == "right"
    assert verdicts["unreachable-a-whole-file-is-missing"] == "right"
    assert verdicts["generators-a-range"] == "wrong"  # left out without a word: all chunks read as the fill value


def test_refmaker_scans_every_feature(tmp_path: Path) -> None:
    rows = _run("run_hdf5.py", "--scanner", "refmaker", folder=tmp_path)["refmaker"]
    assert [row for row in rows if row["verdict"] != "right"] == []
    assert len(rows) >= 40


X = {"dtype": "i2", "shape": [2], "values": [1, 2], "hex": "01000200"}
OTHER = {**X, "values": [1, 3], "hex": "01000300"}
ERROR = {"error": "OSError: no"}


@pytest.mark.parametrize(
    ("case", "answer", "verdict"),
    [
        ({"arrays": {"x": X}}, {"arrays": {"x": X}}, "right"),
        ({"arrays": {"x": X}}, {"arrays": {"x": OTHER}}, "wrong"),
        ({"arrays": {"x": X}}, {"arrays": {"x": {**X, "dtype": "u2"}}}, "wrong"),
        ({"arrays": {"x": X}}, {"arrays": {"x": {**X, "shape": [1, 2]}}}, "wrong"),
        ({"arrays": {"x": X}}, {"arrays": {"x": ERROR}}, "refused"),
        ({"arrays": {"x": X}}, None, "crash"),
        ({"broken": "x"}, {"arrays": {"x": ERROR}}, "right"),
        ({"broken": "x"}, {"arrays": {"x": X}}, "wrong"),
        ({"broken": "x", "arrays": {"y": X}}, {"arrays": {"x": ERROR, "y": X}}, "right"),
        ({"broken": "x", "arrays": {"y": X}}, {"arrays": {"x": ERROR, "y": ERROR}}, "refused"),
        ({"arrays": {"x": X}, "keys": {"x/0": None}}, {"arrays": {"x": X}, "keys": {"x/0": {"hex": None}}}, "right"),
        ({"arrays": {"x": X}, "keys": {"x/0": "01"}}, {"arrays": {"x": X}, "keys": {"x/0": {"hex": None}}}, "wrong"),
        ({"arrays": {"x": X}, "keys": {"x/0": None}}, {"arrays": {"x": X}, "keys": {"x/0": ERROR}}, "refused"),
    ],
)
def test_verdicts(case: dict[str, Any], answer: dict[str, Any] | None, verdict: str) -> None:
    assert _load("judging").judge(case, answer)[0] == verdict


def test_a_reader_that_ends_or_hangs_has_crashed_and_the_next_case_is_asked(tmp_path: Path) -> None:
    asking = _load("asking")
    script = tmp_path / "reader.py"
    script.write_text(
        "import json, os, sys, time\n"
        "print(json.dumps({'reader': 'made up 1'}), flush=True)\n"
        "for line in sys.stdin:\n"
        "    what = json.loads(line)['manifest']\n"
        "    if what == 'die': os.abort()\n"
        "    if what == 'hang': time.sleep(20)\n"
        "    print(json.dumps({'arrays': what}), flush=True)\n"
    )
    asking.LONGEST = 1.0
    reader = asking.Reader([sys.executable, str(script)], tmp_path / "log")
    try:
        assert reader.start() == "made up 1"
        assert [reader.ask({"manifest": what}) for what in ("a", "die", "b", "hang", "c")] == [
            {"arrays": "a"},
            None,
            {"arrays": "b"},
            None,
            {"arrays": "c"},
        ]
    finally:
        reader.stop()


def test_only_its_own_reader_and_scanner_know_refmaker() -> None:
    for path in sorted(KIT.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        names = [
            (alias.name if isinstance(node, ast.Import) else node.module or "").split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        ]
        assert ("refmaker" in names) == path.name.startswith("refmaker_"), path
