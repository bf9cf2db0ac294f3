"""`refmaker verify`: findings, exit statuses, the report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import fsspec
import h5py
import pytest
from refmaker_cli.output import ProgressLine

import refmaker.verification.verify
from refmaker.verification.verify import VerifyReport

from .conftest import Run


@pytest.fixture(autouse=True)
def _not_through_xarray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what `tests/test_verify_xarray.py` tests: it takes a process for each call."""
    monkeypatch.setattr("refmaker.verification.verify.compare_shown", lambda *_, **__: None)


@pytest.fixture
def manifest(run: Run, source: Path) -> Path:
    """Return the path of a manifest of `source`."""
    run("scan", source, "-o", "m.json")
    return Path("m.json").absolute()


def damage(manifest: Path, key: str, by: int) -> None:
    """Move a reference."""
    document = json.loads(manifest.read_bytes())
    document["refs"][key][1] += by
    manifest.write_text(json.dumps(document))


def test_all_the_same(run: Run, manifest: Path) -> None:
    result = run("verify", manifest)
    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout == f"{manifest}: 4 of 4 arrays the same (9 of 9 chunks compared)\n"


def test_combined(run: Run, tmp_path: Path) -> None:
    files = []
    for number in range(3):
        files.append(tmp_path / f"{number}.h5")
        with h5py.File(files[-1], "w") as file:
            file["x"] = [2.0 * number, 2 * number + 1]
            file["x"].make_scale("x")
            file.create_dataset("y", data=[number, number + 0.5], chunks=(2,)).dims[0].attach_scale(file["x"])
    run("combine", *files, "-o", "all.json", "-q")
    result = run("verify", "all.json", "--full")
    assert result.exit_code == 0
    assert result.stdout == "all.json: 2 of 2 arrays the same (4 of 4 chunks compared with 3 files)\n"
    document = json.loads(Path("all.json").read_bytes())
    refs = document["refs"]
    refs["y/0"], refs["y/2"] = refs["y/2"], refs["y/0"]
    Path("all.json").write_text(json.dumps(document))
    result = run("verify", "all.json", "--report", "r.json")
    assert result.exit_code == 3
    assert f"/y: differs: 1 chunk of {files[0]} where it has no rows" in result.stdout
    assert json.loads(Path("r.json").read_bytes())["files"] == 3


def test_a_difference(run: Run, manifest: Path) -> None:
    damage(manifest, "contiguous/0", 8)
    result = run("verify", manifest, "--full", "--report", "r.json")
    assert result.exit_code == 3
    assert result.stderr == ""
    finding, summary = result.stdout.splitlines()
    assert finding == (
        "/contiguous: differs: other values: 7 elements in 1 chunk; the first, at [0], is 0.0 in the file, "
        "0.16666666666666666 through the manifest"
    )
    assert summary == f"{manifest}: 3 of 4 arrays the same (9 of 9 chunks compared), 1 different"
    report = json.loads(Path("r.json").read_bytes())
    assert report["manifest"] == str(manifest)
    assert (report["differences"], report["skipped"], report["sample"], report["refused"]) == (1, 0, None, {})
    assert [target["status"] for target in report["targets"]] == ["same"]
    arrays = {array["path"]: array for array in report["arrays"]}
    assert {path: array["status"] for path, array in arrays.items()} == {
        "/chunked": "same",
        "/contiguous": "differs",
        "/group/sparse": "same",
        "/scalar": "same",
    }
    assert arrays["/contiguous"]["first_difference"] == {"index": [0], "expected": 0.0, "got": 1 / 6}
    assert arrays["/chunked"]["first_difference"] is None
    assert (arrays["/chunked"]["chunks_checked"], arrays["/chunked"]["chunks"]) == (4, 4)


def test_unreadable(run: Run, manifest: Path) -> None:
    damage(manifest, "chunked/1.0", 2)
    result = run("verify", manifest)
    assert result.exit_code == 3
    assert result.stdout.startswith("/chunked: unreadable: 1 chunk cannot be read: chunk 1.0: ")
    assert result.stdout.count("\n") == 2


def test_refused(run: Run, refusing: Path) -> None:
    run("scan", refusing, "-o", "m.json")
    result = run("verify", "m.json", "--report", "r.json")
    assert result.exit_code == 3
    assert result.stdout.splitlines()[0].startswith("/regions: refused: ")
    assert result.stdout.splitlines()[1].endswith(", 1 refused")
    assert list(json.loads(Path("r.json").read_bytes())["refused"]) == ["/regions"]


def test_changed(run: Run, manifest: Path, source: Path) -> None:
    os.utime(source, (1e9, 1e9))
    result = run("verify", manifest)
    assert result.exit_code == 3
    first, summary = result.stdout.splitlines()
    assert first.startswith(f"{source}: changed: modified ")
    assert summary.endswith("4 of 4 arrays the same (9 of 9 chunks compared), 1 target changed")


def test_not_compared(run: Run, manifest: Path, source: Path) -> None:
    """A file that is damaged itself: nothing differs, but nothing is known."""
    offset = json.loads(manifest.read_bytes())["refs"]["chunked/0.0"][1]
    status = source.stat()
    with open(source, "r+b") as file:
        file.seek(offset)
        file.write(b"\0\0")
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    result = run("verify", manifest, "--report", "r.json")
    assert result.exit_code == 3
    assert result.stdout.startswith("/chunked: not compared: 1 chunk of the file cannot be read: chunk 0.0: ")
    assert json.loads(Path("r.json").read_bytes())["skipped"] == 1


@pytest.mark.parametrize("quiet", [True, False])
def test_target_gone(run: Run, manifest: Path, source: Path, quiet: bool) -> None:
    source.unlink()
    result = run("verify", manifest, "--report", "r.json", *(["-q"] if quiet else []))
    assert result.exit_code == 1
    assert result.stderr == f"refmaker: {source}: cannot be read: No such file or directory\n"
    assert (result.stdout == "") == quiet
    assert json.loads(Path("r.json").read_bytes())["targets"][0]["status"] == "unreadable"


def test_manifest_gone(run: Run) -> None:
    result = run("verify", "none.json", "--report", "r.json")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("refmaker: ")
    assert "none.json" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not Path("r.json").exists()


def test_malformed_manifest(run: Run) -> None:
    Path("m.json").write_text('{"version": 1, "refs": {')
    result = run("verify", "m.json")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1


def test_quiet(run: Run, manifest: Path) -> None:
    damage(manifest, "contiguous/0", 8)
    result = run("verify", manifest, "--quiet")
    assert (result.exit_code, result.output) == (3, "")


@pytest.mark.parametrize(
    ("options", "sample"), [([], 64), (["--full"], None), (["--sample", 5], 5), (["--storage-options", '{"a": 1}'], 64)]
)
def test_options_reach_the_library(
    run: Run, manifest: Path, monkeypatch: pytest.MonkeyPatch, options: list[Any], sample: int | None
) -> None:
    seen = {}
    monkeypatch.setattr(
        refmaker.verification.verify,
        "verify",
        lambda name, **given: seen.update(given) or VerifyReport(name, given["sample"]),
    )
    assert run("verify", manifest, *options).exit_code == 0
    assert seen["sample"] == sample
    assert seen["storage_options"] == ({"a": 1} if "--storage-options" in options else None)


def test_sample(run: Run, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("a", data=range(1000), chunks=(2,))
    run("scan", tmp_path / "x.h5", "-o", "m.json", "--no-consolidate")
    assert "(64 of 500 chunks compared)" in run("verify", "m.json").stdout
    assert "(3 of 500 chunks compared)" in run("verify", "m.json", "--sample", 3).stdout
    assert "(500 of 500 chunks compared)" in run("verify", "m.json", "--full").stdout


@pytest.mark.parametrize(
    "options",
    [
        ["--sample", "3", "--full"],
        ["--sample", "0"],
        ["--sample", "x"],
        ["--storage-options", "["],
        ["--report", "m.json"],
    ],
)
def test_wrong_usage(run: Run, manifest: Path, options: list[str]) -> None:
    before = manifest.read_bytes()
    assert run("verify", manifest, *options).exit_code == 2
    assert manifest.read_bytes() == before


@pytest.mark.parametrize("report", ["none/r.json", "."])
def test_report_that_cannot_be_written(run: Run, manifest: Path, report: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is said before the work."""
    monkeypatch.setattr(refmaker.verification.verify, "verify", None)
    result = run("verify", manifest, "--report", report)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"refmaker: cannot write '{report}': ")
    assert result.stderr.count("\n") == 1


def test_url(run: Run, source: Path) -> None:
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe("/clis/x.h5", source.read_bytes())
    run("scan", "memory://clis/x.h5", "-o", "m.json")
    filesystem.pipe("/clis/m.json", Path("m.json").read_bytes())
    assert run("verify", "memory://clis/m.json").exit_code == 0


def test_names_go_escaped_to_the_terminal(run: Run, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a\x1b[31m"] = [1, 2]
    run("scan", tmp_path / "x.h5", "-o", "m.json")
    damage(Path("m.json"), "a\x1b[31m/0", 4)
    assert run("verify", "m.json").stdout.startswith("/a\\x1b[31m: differs: ")


def test_interrupted(run: Run, manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(refmaker.verification.verify, "verify", stop)
    result = run("verify", manifest, "--report", "r.json")
    assert result.exit_code == 130
    assert not Path("r.json").exists()


def test_progress_line(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(click, "echo", lambda text, **_: shown.append(text))
    now = [0.0]
    with ProgressLine("m.json", clock=lambda: now[0]) as line:
        line.show("1 of 9 chunks, /a")
        now[0] = 1
        line.show("2 of 9 chunks, /a\n")
    assert shown == ["\r\x1b[K2 of 9 chunks, /a\\n", "\r\x1b[K"]


def test_progress_on_a_terminal(run: Run, manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(ProgressLine, "show", lambda self, text: seen.append(text))
    terminal = SimpleNamespace(stderr=SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("refmaker_cli.verify.sys", terminal)
    assert run("verify", manifest, "--quiet").exit_code == 0
    assert seen == []
    assert run("verify", manifest).exit_code == 0
    assert seen[0] == f"{manifest}: 4 of 9 chunks, /chunked"
    assert seen[-1].startswith(f"{manifest}: 9 of 9 chunks, /")


def test_as_a_process(manifest: Path) -> None:
    """Nothing but findings on the standard streams: no warnings of the libraries."""
    damage(manifest, "contiguous/0", 8)
    command = [sys.executable, "-W", "always", "-m", "refmaker_cli", "verify", "--no-xarray", manifest]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 3
    assert done.stdout.count("\n") == 2
    assert done.stderr == ""


def test_help(run: Run) -> None:
    result = run("verify", "--help")
    assert result.exit_code == 0
    assert "MANIFEST" in result.stdout
    assert "verify" in run("--help").stdout


def test_several_manifests(run: Run, source: Path, refusing: Path) -> None:
    """One that fails does not stop the others, and the exit status is that of the worst."""
    for path, name in ((source, "a.json"), (refusing, "b.json")):
        run("scan", path, "-o", name)
    same = run("verify", "a.json", "a.json")
    assert same.exit_code == 0
    assert len(same.stdout.splitlines()) == 2
    worst = run("verify", "a.json", "b.json")
    assert worst.exit_code == 3
    Path("damaged.json").write_text("{")
    failed = run("verify", "damaged.json", "a.json", "--json")
    assert failed.exit_code == 1
    assert failed.stderr.startswith("refmaker: ")
    reports = json.loads(failed.stdout)["manifests"]
    assert [report.get("error") is None for report in reports] == [False, True]
    assert run("verify", "-q", "a.json", "a.json").output == ""
