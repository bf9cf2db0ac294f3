"""Notes are counted in one line by every command that makes a manifest, and stay in it for `info`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from refmaker_cli.main import main

from refmaker import limits
from refmaker.errors import ManifestError
from refmaker.kerchunk.json_reader import read_json

NOTES = [f"/x{i}: left out" for i in range(3)]


def document(target: str, notes: object = None) -> dict[str, object]:
    array = {"zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|u1", "compressor": None, "filters": None}
    array |= {"fill_value": None, "order": "C"}
    refs = {".zgroup": '{"zarr_format":2}', "x/.zarray": json.dumps(array), "x/.zattrs": '{"_ARRAY_DIMENSIONS":["t"]}'}
    ours = {"format": 1, "targets": [{"url": target}]} | ({} if notes is None else {"notes": notes})
    return {"version": 1, "refmaker": ours, "refs": {**refs, "x/0": [target, 0, 1]}}


@pytest.fixture
def noted(tmp_path: Path) -> Path:
    (tmp_path / "data").write_bytes(b"\7")
    path = tmp_path / "noted.json"
    path.write_text(json.dumps(document(str(tmp_path / "data"), NOTES)))
    return path


@pytest.mark.parametrize("name", ["out.json", "out.parq"])
def test_convert_counts_notes_and_keeps_them(noted: Path, name: str) -> None:
    out = str(noted.parent / name)
    result = CliRunner().invoke(main, ["convert", str(noted), "-o", out])
    assert result.exit_code == 0, result.output
    assert [line for line in result.stderr.splitlines() if line.startswith("3 notes: /x0: left out and 2 more")]
    shown = CliRunner().invoke(main, ["info", out]).output.splitlines()
    assert shown[-3:] == NOTES


def test_combine_counts_the_notes_of_its_inputs_and_keeps_them(noted: Path) -> None:
    out = str(noted.parent / "all.json")
    result = CliRunner().invoke(main, ["combine", str(noted), "-o", out])
    assert result.exit_code == 0, result.output
    assert sum("3 notes: " in line for line in result.stderr.splitlines()) == 1
    assert json.loads(Path(out).read_text())["refmaker"]["notes"] == NOTES
    assert json.loads(CliRunner().invoke(main, ["info", "--json", out]).stdout)["notes"] == NOTES


@pytest.mark.parametrize("notes", ["x", {"a": "b"}, [1], [["x"]], ["x"] * (int(limits.NOTES_KEPT) + 1)])
def test_notes_are_read_back_strictly(notes: object) -> None:
    with pytest.raises(ManifestError, match=r"refmaker\.notes"):
        read_json(json.dumps(document("data", notes)).encode(), source="m.json")


def test_a_manifest_without_notes_stays_readable() -> None:
    assert read_json(json.dumps(document("data")).encode(), source="m.json").notes == []


@pytest.mark.parametrize("command", [["verify"], ["convert", "-o", "out.json"], ["check"]])
@pytest.mark.parametrize(
    ("head", "kind"),
    [(b"\x89HDF\r\n\x1a\n", "HDF5"), (b"CDF\1", "netCDF classic"), (b"II*\0", "TIFF"), (b"GRIB", "GRIB")],
)
def test_a_source_in_the_place_of_a_manifest_is_called_so(
    command: list[str], head: bytes, kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.nc"
    path.write_bytes(head + bytes(100))
    result = CliRunner().invoke(main, [*command, str(path)])
    assert result.exit_code == 1
    if command != ["check"]:
        assert f"this is a file of {kind}, not a manifest: `refmaker scan` makes a manifest of it" in result.stderr


def test_there_has_to_be_something_to_append_to(noted: Path) -> None:
    result = CliRunner().invoke(main, ["append", str(noted.parent / "none.json"), str(noted)])
    assert result.exit_code == 1
    assert "there is no manifest to append to; `refmaker combine` makes one" in result.stderr


def test_a_parameter_that_is_no_secret_stays(noted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REFMAKER_KEEP_QUERY", raising=False)
    url = "https://example.org/a.nc?granule=7&key=8"
    noted.write_text(json.dumps(document(url)))
    out = noted.parent / "out.json"
    assert CliRunner().invoke(main, ["convert", str(noted), "-o", str(out)]).exit_code == 0
    assert "granule" not in json.dumps(json.loads(out.read_text())["refs"])
    arguments = ["convert", str(noted), "-o", str(out), "--keep-query", "granule"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    assert json.loads(out.read_text())["refs"]["x/0"][0] == "https://example.org/a.nc?granule=7"
    assert CliRunner().invoke(main, ["convert", str(noted), "-o", str(out)]).exit_code == 0
    assert "granule" not in json.dumps(json.loads(out.read_text())["refs"]), "the option holds for one command"


def test_a_parameter_to_keep_is_one_name(noted: Path) -> None:
    result = CliRunner().invoke(main, ["convert", str(noted), "-o", "x.json", "--keep-query", "a=b"])
    assert result.exit_code == 2
    assert "the name of one parameter is needed" in result.stderr
