from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner
from refmaker_cli.main import main

from tests.catalogues.conftest import Make
from tests.catalogues.conftest import globe as globe  # a fixture


def run(*arguments: object) -> tuple[int, str]:
    found = CliRunner().invoke(main, ["stac", *map(str, arguments)])
    return found.exit_code, found.output


def test_an_item(globe: Make) -> None:
    status, text = run(globe())
    assert (status, json.loads(text)["id"]) == (0, "air")


def test_a_collection_and_its_links(globe: Make, tmp_path: Path) -> None:
    out = tmp_path / "catalogue"
    given = ["--collection", "all", "--base-url", "https://host/m/", "-o", out, "-q"]
    assert run(globe("one"), globe("two"), *given) == (0, "")
    collection = json.loads((out / "collection.json").read_text())
    for link in collection["links"]:
        assert (out / link["href"]).exists()
    item = json.loads((out / "two" / "two.json").read_text())
    assert item["collection"] == "all"
    assert item["links"][0]["href"] == "https://host/m/two.json"
    for link in item["links"][1:]:
        assert (out / "two" / link["href"]).exists()


def test_wrong_usage(globe: Make, tmp_path: Path) -> None:
    manifest = globe()
    assert run(manifest, manifest)[0] == 2
    assert run(manifest, "--collection", "a")[0] == 2
    assert run(manifest, manifest, "--collection", "a", "-o", tmp_path / "c")[0] == 2
    assert run(manifest, "--datetime", "yesterday")[0] == 2
    assert not (tmp_path / "c").exists()


def test_without_a_time(globe: Make) -> None:
    manifest = globe(time=None)
    status, text = run(manifest)
    assert (status, "needs a time" in text) == (1, True)
    status, text = run(manifest, "--datetime", "2000-01-01")
    assert (status, json.loads(text)["properties"]["datetime"]) == (0, "2000-01-01T00:00:00Z")
