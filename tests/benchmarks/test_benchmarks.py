"""The benchmarks work over small files, compare answers, and the documentation says what they measured."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks import bench_scan, chunk_lists, make_files, report, runs, tools
from tests.benchmarks.runs import Run

SCANNED = {"W1": (1, 300), "W2a": (1, 300), "W2b": (1, 300), "W2c": (1, 300), "W3e": (10, 28), "W4": (5, 99)}
"""Name -> arrays and chunks of the small file."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return make_files.ensure(str(tmp_path_factory.mktemp("files")), make_files.FILES, quick=True)


def run(module: str, *arguments: str) -> str:
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", *arguments]
    done = subprocess.run(
        command, cwd=runs.ROOT, env=runs.environment_of(runs.ROOT), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Keep the garbage: kerchunk waits for a thread while it holds h5py's lock, which a collection there asks for."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("tool", ["refmaker", "refmaker-json", "kerchunk", "libhdf5"])
@pytest.mark.parametrize("name", SCANNED)
def test_tools_find_the_chunks(files: dict[str, str], tmp_path: Path, name: str, tool: str) -> None:
    output = str(tmp_path / "output")
    result = tools.TOOLS[tool].scan(files[name], output)
    lists = tools.TOOLS[tool].chunk_lists(result, files[name], output)
    assert lists is not None
    assert (len(lists), sum(columns.shape[1] for columns in lists.values())) == SCANNED[name]
    data = Path(files[name]).read_bytes()
    if name.startswith(("W1", "W2")):
        (columns,) = lists.values()
        assert columns[0].tolist() == list(range(300))
        assert all(data[at : at + size] == make_files.NOISE[:size] for _, at, size in columns.T.tolist())


def test_classic(files: dict[str, str]) -> None:
    lists = tools.lists_of_refmaker(tools.scan_refmaker(files["W6c2"], ""), "", "")
    assert {name: columns.shape for name, columns in lists.items()} == {f"r{i}": (3, 60) for i in range(5)}
    data = Path(files["W6c2"]).read_bytes()
    _, offset, size = lists["r3"][:, 59].tolist()
    assert np.frombuffer(data[offset : offset + size], ">f4").tolist() == list(range(59 * 32, 60 * 32))


def test_chunk_lists_differ() -> None:
    right = {"a": chunk_lists.columns([1, 0, 2], [10, 20, 30], [1, 1, 1]), "b": chunk_lists.columns([], [], [])}
    same = {"b": right["b"], "a": chunk_lists.columns([0, 1, 2], [20, 10, 30], [1, 1, 1])}
    assert chunk_lists.digest(right) == chunk_lists.digest(same)
    assert chunk_lists.difference(right, same) == ""
    other = {"a": chunk_lists.columns([0, 1, 3], [20, 11, 30], [1, 1, 1]), "c": right["b"]}
    assert chunk_lists.digest(right) != chunk_lists.digest(other)
    said = "1 arrays missing, 1 arrays too many, 1 chunks missing, 1 chunks too many, 1 chunks elsewhere"
    assert chunk_lists.difference(right, other) == said


def test_chunk_lists_are_kept(tmp_path: Path) -> None:
    lists = {"a/b": chunk_lists.columns([1, 0], [10, 20], [1, 2]), "é": chunk_lists.columns([], [], [])}
    chunk_lists.save(lists, str(tmp_path / "x"))
    assert chunk_lists.digest(chunk_lists.load(str(tmp_path / "x"))) == chunk_lists.digest(lists)


def test_references_with_inlined_chunks_are_not_equal() -> None:
    zarray = json.dumps({"shape": [4, 6], "chunks": [2, 4]})
    lists = chunk_lists.from_references({".zgroup": "{}", "x/.zarray": zarray, "x/1.0": ["u", 5, 6], "x/0.1": "abc"})
    assert lists["x"].tolist() == [[1, 2], [-1, 5], [-1, 6]]


def test_a_wrong_answer_has_no_figure() -> None:
    def answer(offset: int) -> Run:
        lists = {"a": chunk_lists.columns([0], [offset], [1])}
        figures = {"digest": chunk_lists.digest(lists), "versions": {}, "cpu": 1.0, "wall": 1.0, "peak": 1, "before": 1}
        return Run("ok", "", figures, lists)

    bench = bench_scan.Bench(1, sys.executable, 1, "", {})
    assert bench.result(answer(7), answer(7))["state"] == "ok"
    assert bench.result(answer(8), answer(7)) == {"state": "wrong", "reason": "1 chunks elsewhere"}
    silent = Run("ok", "", answer(7).figures, None)
    assert bench.result(silent, answer(7))["state"] == "unchecked"


def test_what_fails_is_said(files: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "no.h5").write_bytes(b"nothing that is a file" * 10)
    options = {"warm": files["W3e"], "scratch": str(tmp_path), "peers": sys.executable}
    failed = runs.run("libhdf5", str(tmp_path / "no.h5"), limit=60, **options)
    assert failed.state == "fails"
    assert failed.reason.startswith("OSError: Unable to synchronously open file")
    assert runs.run("libhdf5", files["W1"], limit=0.001, **options).state == "hangs"


def test_scan_and_report(tmp_path: Path) -> None:
    results = str(tmp_path / "results.json")
    lines = run("bench_scan", "--quick", "--results", results).splitlines()
    assert [line.split()[:2] for line in lines] == [["W1", tool] for tool in bench_scan.QUICK_TOOLS]
    assert all("s CPU" in line for line in lines)
    document = tmp_path / "benchmarks.md"
    document.write_text(report.DOCUMENT.read_text())
    run("report", "--no-plots", "--results", results, "--document", str(document))
    text = document.read_text()
    assert "| W1 | one dataset, version 1 B-tree | 1 | 300 |" in text
    assert "| `refmaker --help` |" not in text.partition("## The files")[0]
    assert "Not measured yet." in text
    run("report", "--check", "--results", results, "--document", str(document))


def test_growth_and_pictures(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    lines = run("bench_growth", "--quick", "--results", str(results)).splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["40", "datasets", "refmaker"],
        ["40", "datasets", "libhdf5"],
    ]
    pytest.importorskip("matplotlib")
    from tests.benchmarks.plots import growth

    growth(json.loads(results.read_text()), tmp_path / "growth.svg")
    text = (tmp_path / "growth.svg").read_text()
    assert all(word in text for word in ("refmaker", "libhdf5", "datasets in groups of 20", "peak memory, MB"))


def test_startup() -> None:
    lines = run("bench_startup", "--quick").splitlines()
    assert any(line.startswith("refmaker scan") for line in lines)


def test_the_documentation_says_what_was_measured() -> None:
    run("report", "--check")


@pytest.mark.parametrize(
    ("value", "text"), [(0.01234, "0.012"), (1.26, "1.3"), (61.4, "61"), (1234, "1,234"), (0, "0")]
)
def test_numbers(value: float, text: str) -> None:
    assert report.number(value) == text
