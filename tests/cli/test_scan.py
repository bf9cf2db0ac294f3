"""`refmaker scan`: outputs, reports, exit statuses, and what happens when something goes wrong."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import fsspec
import h5py
import numpy as np
import pytest
from refmaker_cli.output import ProgressLine

import refmaker
from refmaker.errors import FormatError
from refmaker.manifest import Manifest

from .conftest import Run, write_source

COMMAND = (sys.executable, "-m", "refmaker_cli", "scan")


def one_line(text: str) -> str:
    """Return the only line of a text."""
    assert text.count("\n") == 1, text
    assert text.endswith("\n")
    return text.rstrip("\n")


def no_leftovers(folder: Path, *expected: str) -> None:
    assert sorted(os.listdir(folder)) == sorted(expected)


class TestOutput:
    def test_default_name_is_in_the_working_directory(self, run: Run, source: Path) -> None:
        result = run("scan", source)
        assert result.exit_code == 0
        assert result.stdout == ""
        assert "source.h5.json: 4 arrays" in one_line(result.stderr)
        no_leftovers(Path.cwd(), "source.h5.json")
        assert json.loads(Path("source.h5.json").read_bytes())["version"] == 1

    def test_named_and_replaced(self, run: Run, source: Path, tmp_path: Path) -> None:
        output = tmp_path / "m.json"
        output.write_text("old")
        assert run("scan", source, "-o", output, "--quiet").output == ""
        assert "chunked/.zarray" in json.loads(output.read_bytes())["refs"]

    def test_stdout_holds_the_manifest_alone(self, run: Run, source: Path, tmp_path: Path) -> None:
        result = run("scan", source, "-o", "-")
        run("scan", source, "-o", tmp_path / "m.json")
        assert result.exit_code == 0
        assert result.stdout_bytes == (tmp_path / "m.json").read_bytes()
        no_leftovers(Path.cwd())

    def test_several_files_into_a_new_directory(self, run: Run, tmp_path: Path) -> None:
        files = [write_source(tmp_path / name) for name in ("a.h5", "b.h5")]
        output = tmp_path / "new" / "manifests"
        assert run("scan", *files, "-o", output).exit_code == 0
        no_leftovers(output, "a.h5.json", "b.h5.json")

    def test_url(self, run: Run, source: Path) -> None:
        with fsspec.open("memory://folder/x.h5", "wb") as file:
            file.write(source.read_bytes())
        assert run("scan", "memory://folder/x.h5").exit_code == 0
        refs = json.loads(Path("x.h5.json").read_bytes())["refs"]
        assert refs["chunked/0.0"][0] == "memory://folder/x.h5"

    def test_options_reach_the_scan(self, run: Run, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = {}
        manifest = refmaker.scan(str(source))
        monkeypatch.setattr(refmaker, "scan", lambda url, **options: seen.update(options) or manifest)
        options = ["--inline-threshold", 10, "--inline-limit", 20, "--group", "/g", "--include", "a*", "--include", "b"]
        options += ["--exclude", "c", "--strict", "--portable", "--zarr-format", 3]
        options += ["--storage-options", '{"anon": true}']
        options += ["--no-external-links", "--no-verify-checksums", "--keep-checksums"]
        assert run("scan", source, *options).exit_code == 0
        assert seen == {
            "inline_threshold": 10,
            "inline_limit": 20,
            "group": "/g",
            "include": ("a*", "b"),
            "exclude": ("c",),
            "strict": True,
            "portable": True,
            "zarr_format": 3,
            "storage_options": {"anon": True},
            "follow_external_links": False,
            "verify_checksums": False,
            "keep_checksums": True,
        }

    def test_defaults_are_those_of_the_library(self, run: Run, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = {}
        manifest = refmaker.scan(str(source))
        monkeypatch.setattr(refmaker, "scan", lambda url, **options: seen.update(options) or manifest)
        run("scan", source)
        assert seen == {"include": (), "exclude": (), "strict": False, "portable": False}

    def test_selection(self, run: Run, source: Path) -> None:
        run("scan", source, "--include", "group/*", "--zarr-format", "3")
        refs = json.loads(Path("source.h5.json").read_bytes())["refs"]
        assert {key for key in refs if "/c/" in key} == {"group/sparse/c/0"}


class TestReport:
    def test_one_file(self, run: Run, refusing: Path, tmp_path: Path) -> None:
        report = tmp_path / "r.json"
        assert run("scan", refusing, "--report", report).exit_code == 3
        content = json.loads(report.read_bytes())
        assert content["source"] == str(refusing)
        objects = {entry["path"]: entry for entry in content["objects"]}
        assert objects["/chunked"] == {
            "path": "/chunked",
            "kind": "dataset",
            "status": "mapped",
            "reason": None,
            "codecs_need_refmaker": False,
            "notes": [],
        }
        assert objects["/regions"]["status"] == "refused"
        assert objects["/regions"]["reason"]
        assert {"/contiguous", "/scalar", "/group", "/group/sparse"} <= set(objects)

    def test_several_files_one_failing(self, run: Run, source: Path, tmp_path: Path) -> None:
        bad = tmp_path / "bad.h5"
        bad.write_bytes(b"not HDF5")
        result = run("scan", bad, source, "--report", tmp_path / "r.json")
        assert result.exit_code == 1
        no_leftovers(Path.cwd(), "source.h5.json")
        first, second = json.loads((tmp_path / "r.json").read_bytes())["sources"]
        assert first["source"] == str(bad)
        assert first["objects"] == []
        assert first["error"] in result.stderr
        assert second["source"] == str(source)
        assert len(second["objects"]) >= 5
        assert "error" not in second

    def test_names_that_are_not_utf8(self, run: Run, tmp_path: Path) -> None:
        path = write_source(tmp_path / "x.h5")
        with h5py.File(path, "a") as file:
            space = h5py.h5s.create_simple((3,))
            h5py.h5d.create(file.id, b"bad\xff\nname", h5py.h5t.STD_I32LE, space)
        result = run("scan", path, "--report", tmp_path / "r.json")
        assert result.exit_code in (0, 3)
        paths = [entry["path"] for entry in json.loads((tmp_path / "r.json").read_bytes())["objects"]]
        assert "/bad\udcff\nname" in paths


class TestRefusals:
    def test_listed_and_status_3(self, run: Run, refusing: Path) -> None:
        result = run("scan", refusing)
        assert result.exit_code == 3
        summary, refusal = result.stderr.splitlines()
        assert summary.endswith("1 refused:")
        assert refusal.startswith("/regions: ")
        manifest = json.loads(Path("refusing.h5.json").read_bytes())
        assert list(manifest["refmaker"]["refusals"]) == ["/regions"]
        assert "chunked/0.0" in manifest["refs"]

    def test_quiet(self, run: Run, refusing: Path) -> None:
        result = run("scan", refusing, "--quiet")
        assert (result.exit_code, result.output) == (3, "")

    def test_strict_is_fatal(self, run: Run, refusing: Path, tmp_path: Path) -> None:
        result = run("scan", refusing, "--strict", "--report", tmp_path / "r.json")
        assert result.exit_code == 1
        line = one_line(result.stderr)
        assert line.startswith(f"refmaker: {refusing}: /regions: ")
        no_leftovers(Path.cwd())
        assert not (tmp_path / "r.json").exists()

    def test_long_lists_are_cut_and_names_escaped(
        self, run: Run, source: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        manifest = refmaker.scan(str(source))
        manifest.refusals = {f"/a\nb\udcff\x1b[31m{i}": "because" for i in range(25)}
        monkeypatch.setattr(refmaker, "scan", lambda url, **options: manifest)
        result = run("scan", source, "--report", "r.json")
        assert result.exit_code == 3
        lines = result.stderr.splitlines()
        assert len(lines) == 22
        assert lines[1] == r"/a\nb\udcff\x1b[31m0: because"
        assert lines[-1] == "… and 5 more, see r.json"


class TestBadInput:
    @pytest.fixture(params=["text", "empty", "truncated", "missing", "directory", "pipe", "forbidden"])
    def bad(self, request: pytest.FixtureRequest, tmp_path: Path, source: Path) -> Path:
        path = tmp_path / "bad.h5"
        if request.param == "text":
            path.write_text("this is no HDF5 file")
        elif request.param == "empty":
            path.touch()
        elif request.param == "truncated":
            path.write_bytes(source.read_bytes()[:200])
        elif request.param == "directory":
            path.mkdir()
        elif request.param == "pipe":
            os.mkfifo(path)
        elif request.param == "forbidden":
            path.write_bytes(source.read_bytes())
            path.chmod(0)
            if os.access(path, os.R_OK):
                pytest.skip("this user may read everything")
        return path

    def test_one_line_and_nothing_touched(self, run: Run, bad: Path, tmp_path: Path) -> None:
        output = tmp_path / "out" / "m.json"
        output.parent.mkdir()
        output.write_text("old")
        result = run("scan", bad, "-o", output, "--report", output.parent / "r.json")
        assert result.exit_code == 1
        assert result.stdout == ""
        assert one_line(result.stderr).startswith(f"refmaker: {bad}: ")
        assert output.read_text() == "old"
        no_leftovers(output.parent, "m.json")

    def test_info_says_the_same(self, run: Run, bad: Path) -> None:
        scanned, shown = run("scan", bad), run("info", bad)
        assert (shown.exit_code, shown.output) == (1, scanned.output)

    def test_unknown_protocol(self, run: Run) -> None:
        result = run("scan", "nosuch://bucket/x.h5")
        assert result.exit_code == 1
        assert one_line(result.stderr).startswith("refmaker: nosuch://bucket/x.h5: ")

    def test_missing_remote_file(self, run: Run) -> None:
        result = run("scan", "memory://not/there.h5")
        assert result.exit_code == 1
        assert one_line(result.stderr).startswith("refmaker: memory://not/there.h5: ")

    def test_missing_group(self, run: Run, source: Path) -> None:
        result = run("scan", source, "--group", "/nowhere")
        assert result.exit_code == 1
        assert "/nowhere" in one_line(result.stderr)


class TestBadOutput:
    def test_missing_directory(self, run: Run, source: Path, tmp_path: Path) -> None:
        result = run("scan", source, "-o", tmp_path / "nowhere" / "m.json")
        assert result.exit_code == 1
        assert "there is no directory" in one_line(result.stderr)

    def test_directory(self, run: Run, source: Path, tmp_path: Path) -> None:
        result = run("scan", source, "--report", tmp_path)
        assert result.exit_code == 1
        assert "it is a directory" in one_line(result.stderr)

    def test_read_only_directory(self, run: Run, source: Path, tmp_path: Path) -> None:
        folder = tmp_path / "locked"
        folder.mkdir(mode=stat.S_IRUSR | stat.S_IXUSR)
        if os.access(folder, os.W_OK):
            pytest.skip("this user may write everywhere")
        result = run("scan", source, "-o", folder / "m.json")
        assert result.exit_code == 1
        assert "no permission" in one_line(result.stderr)

    def test_outputs_are_checked_before_the_work(
        self, run: Run, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(refmaker, "scan", lambda url, **options: pytest.fail("scanned in vain"))
        assert run("scan", source, "--report", tmp_path / "nowhere" / "r.json").exit_code == 1

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
    def test_full_device(self, run: Run, source: Path) -> None:
        result = run("scan", source, "-o", "/dev/full")
        assert result.exit_code == 1
        assert "/dev/full" in one_line(result.stderr)

    def test_full_disk_leaves_the_old_output(self, source: Path, tmp_path: Path) -> None:
        output = tmp_path / "out" / "m.json"
        output.parent.mkdir()
        output.write_text("old")

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

        done = subprocess.run([*COMMAND, source, "-o", output], preexec_fn=limit, capture_output=True, text=True)
        assert done.returncode == 1
        assert one_line(done.stderr).startswith("refmaker: ")
        assert "m.json" in done.stderr
        assert output.read_text() == "old"
        no_leftovers(output.parent, "m.json")

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
    def test_full_standard_output(self, source: Path) -> None:
        with open("/dev/full", "wb") as full:
            done = subprocess.run([*COMMAND, source, "-o", "-"], stdout=full, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 1
        assert "standard output" in one_line(done.stderr)

    def test_reader_that_goes_away(self, tmp_path: Path) -> None:
        path = tmp_path / "many.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("x", data=np.zeros(40000, "u1"), chunks=(1,))
        command = [*COMMAND, path, "-o", "-", "--no-consolidate"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            process.stdout.read(1)
            process.stdout.close()
            stderr = process.stderr.read()
        assert stderr == b""
        assert process.returncode == 1


class TestUsage:
    def test_no_file(self, run: Run) -> None:
        assert run("scan").exit_code == 2

    def test_stdout_with_several_files(self, run: Run, tmp_path: Path) -> None:
        assert run("scan", "a.h5", "b.h5", "-o", "-").exit_code == 2

    def test_several_files_into_a_file(self, run: Run, source: Path) -> None:
        Path("m.json").touch()
        assert run("scan", source, "b.h5", "-o", "m.json").exit_code == 2

    def test_output_would_replace_the_source(self, run: Run, source: Path) -> None:
        before = source.read_bytes()
        assert run("scan", source, "-o", source).exit_code == 2
        assert run("scan", source, "--report", source).exit_code == 2
        assert source.read_bytes() == before

    def test_outputs_of_one_name(self, run: Run, tmp_path: Path) -> None:
        for folder in ("a", "b"):
            (tmp_path / folder).mkdir()
        files = [write_source(tmp_path / folder / "x.h5") for folder in ("a", "b")]
        result = run("scan", *files)
        assert result.exit_code == 2
        assert "x.h5.json" in result.stderr
        assert run("scan", files[0], "-o", "m.json", "--report", "m.json").exit_code == 2
        no_leftovers(Path.cwd())

    @pytest.mark.parametrize(
        "option",
        [
            ("--storage-options", "{"),
            ("--storage-options", "[]"),
            ("--inline-limit", "-1"),
            ("--inline-threshold", "x"),
            ("--zarr-format", "4"),
            ("--nonsense",),
        ],
    )
    def test_bad_option(self, run: Run, source: Path, option: tuple[str, ...]) -> None:
        assert run("scan", source, *option).exit_code == 2
        no_leftovers(Path.cwd())


class TestInterruption:
    def test_status_130(self, run: Run, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(url: str, **options: object) -> Manifest:
            raise KeyboardInterrupt

        monkeypatch.setattr(refmaker, "scan", interrupted)
        result = run("scan", source)
        assert result.exit_code == 130
        assert "interrupted" in one_line(result.stderr)
        no_leftovers(Path.cwd())

    def test_signal_while_waiting_for_a_server(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"http://127.0.0.1:{server.getsockname()[1]}/x.h5"
            command = [*COMMAND, url, "-o", tmp_path / "m.json"]
            with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
                connection, _ = server.accept()
                process.send_signal(signal.SIGINT)
                stderr = process.communicate(timeout=30)[1]
                connection.close()
        assert process.returncode == 130
        assert "interrupted" in one_line(stderr)
        no_leftovers(tmp_path)

    def test_bugs_keep_their_traceback(self, run: Run, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(refmaker, "scan", lambda url, **options: {}["bug"])
        with pytest.raises(KeyError, match="bug"):
            run("scan", source)

    def test_error_names_the_file_once(self, run: Run, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def failing(url: str, **options: object) -> Manifest:
            raise FormatError("out of order", path="/x")

        monkeypatch.setattr(refmaker, "scan", failing)
        assert one_line(run("scan", source).stderr) == f"refmaker: {source}: /x: out of order"


class TestProgress:
    def test_not_in_logs(self, run: Run, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = {}
        manifest = refmaker.scan(str(source))
        monkeypatch.setattr(refmaker, "scan", lambda url, **options: seen.update(options) or manifest)
        run("scan", source)
        assert "progress" not in seen

    def test_late_seldom_and_cleared(self, capsys: pytest.CaptureFixture[str]) -> None:
        clock = iter([0.0, 0.4, 0.6, 0.65, 0.8]).__next__
        with ProgressLine("x\n.h5", clock=clock) as progress:
            for done in range(4):
                progress(refmaker.Progress(done, 10, done, 1500))
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.split("\r\x1b[K") == [
            "",
            r"x\n.h5 (1.5 kB): 1 of 10 objects, 1 round trip",
            r"x\n.h5 (1.5 kB): 3 of 10 objects, 3 round trips",
            "",
        ]

    def test_short_work_shows_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        with ProgressLine("x.h5", clock=iter([0.0, 0.1]).__next__) as progress:
            progress(refmaker.Progress(1, 10, 0, 1500))
        assert capsys.readouterr().err == ""
