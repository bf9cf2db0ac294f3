"""Names of manifests."""

from __future__ import annotations

import pytest

from refmaker.batch.listing import UNKNOWN, Entry
from refmaker.batch.naming import name_outputs
from refmaker.errors import BatchError


def entries(*names: str) -> list[Entry]:
    return [Entry(f"/data/{i}/{name}", name, UNKNOWN) for i, name in enumerate(names)]


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{path}{form}", "a/b/c.d.nc.json"),
        ("{dir}/{stem}{form}", "a/b/c.d.json"),
        ("{dir}/m_{name}.json", "a/b/m_c.d.nc.json"),
        ("flat-{stem}{ext}{form}", "flat-c.d.nc.json"),
        ("/x//{stem}.json", "x/c.d.json"),
        ("{{{stem}}}{form}", "{c.d}.json"),
    ],
)
def test_templates(template: str, name: str) -> None:
    assert name_outputs(entries("a/b/c.d.nc"), form="json", template=template) == [name]


@pytest.mark.parametrize(("form", "suffix"), [("json.gz", ".json.gz"), ("json.zst", ".json.zst"), ("parquet", ".parq")])
def test_forms(form: str, suffix: str) -> None:
    assert name_outputs(entries("a.nc"), form=form) == [f"a.nc{suffix}"]


@pytest.mark.parametrize(
    "template",
    ["{path", "{nonsense}{form}", "{path.__class__}{form}", "{path!r}{form}", "{path:>9}{form}", "{0}{form}", "x.json"],
)
def test_no_templates(template: str) -> None:
    with pytest.raises(BatchError, match="template"):
        name_outputs(entries("a.nc"), form="json", template=template)


def test_the_end_of_a_name_says_the_form() -> None:
    with pytest.raises(BatchError, match=r"end with \.parq"):
        name_outputs(entries("a.nc"), form="parquet", template="{path}.json")


def test_collisions_are_told_together() -> None:
    with pytest.raises(BatchError) as caught:
        name_outputs(entries(*(f"{i % 8}/x.nc" for i in range(16))), form="json")
    assert "0/x.nc.json of /data/0/0/x.nc and /data/8/0/x.nc" in str(caught.value)
    assert "and 3 more" in str(caught.value)


def test_names_stay_in_the_output_directory() -> None:
    with pytest.raises(BatchError, match="output directory"):
        name_outputs(entries("../a.nc"), form="json")
    with pytest.raises(BatchError, match="output directory"):
        name_outputs(entries("a.nc"), form="json", template="../{path}{form}")
