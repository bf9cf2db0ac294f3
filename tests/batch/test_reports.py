"""Reports: JSON and JUnit XML of runs."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from refmaker.batch.ledger import Row
from refmaker.batch.reports import to_dict, write_json_report, write_junit
from refmaker.batch.run import Result
from refmaker.manifest.manifest import Target

from .archives import run, write_archive


@pytest.fixture
def results(tmp_path: Path) -> list[Result]:
    archive = write_archive(tmp_path / "archive")
    return [run(archive, tmp_path / "out"), run(archive, tmp_path / "out")]


def test_json(results: list[Result], tmp_path: Path) -> None:
    write_json_report(to_dict(results[1]), tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["counts"] == {
        "sources": 4,
        "scanned": 1,
        "unchanged": 3,
        "done": 2,
        "refused": 1,
        "failed": 1,
        "gone": 0,
    }
    by_name = {source["source"].rpartition("/")[2]: source for source in report["sources"]}
    assert by_name["damaged.nc"]["error"]["kind"] == "TruncatedError"
    assert (by_name["damaged.nc"]["scanned"], by_name["damaged.nc"]["why"]) == (True, "failed")
    assert by_name["damaged.nc"]["manifest"] is None
    assert (by_name["a.nc"]["scanned"], by_name["a.nc"]["manifest"]) == (False, "a.nc.json")
    assert list(by_name["refused.h5"]["refusals"]) == ["/regions"]
    assert report["outcome"] == "complete"
    assert report["ended"] >= report["began"]


@pytest.mark.parametrize("which", [0, 1])
def test_junit(results: list[Result], tmp_path: Path, which: int) -> None:
    write_junit(results[which], tmp_path / "junit.xml")
    (suite,) = ET.parse(tmp_path / "junit.xml").getroot()
    assert [suite.get(name) for name in ("tests", "errors", "failures", "skipped")] == ["4", "1", "0", "1"]
    cases = {case.get("name"): case for case in suite}
    assert sorted(cases) == ["a.nc.json", "b.h5.json", "damaged.nc.json", "refused.h5.json"]
    assert [child.tag for child in cases["a.nc.json"]] == ["system-out"]
    assert cases["b.h5.json"].get("classname") == "deep/er"
    error = cases["damaged.nc.json"].find("error")
    assert error is not None
    assert error.get("type") == "TruncatedError"
    skipped = cases["refused.h5.json"].find("skipped")
    assert skipped is not None
    assert str(skipped.get("message")).startswith("1 refused: /regions: ")
    unchanged = [name for name, case in cases.items() if "unchanged" in str(case.findtext("system-out"))]
    assert len(unchanged) == 3 * which


def test_xml_of_any_text(tmp_path: Path) -> None:
    nasty = "a\x00\x1b\udce9\ufffe<&>\"'é\U0001f600"
    row = Row(Target(nasty), f"{nasty}.json", "failed", error_kind="X", error=nasty)
    write_junit(Result("out", "run", 0.0, 1.0, rows=[row]), tmp_path / "junit.xml")
    (suite,) = ET.parse(tmp_path / "junit.xml").getroot()
    error = suite[0].find("error")
    assert error is not None
    assert error.text == "a\\x00\\x1b\\udce9\\ufffe<&>\"'é\U0001f600"
