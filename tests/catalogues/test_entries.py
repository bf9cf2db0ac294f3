from __future__ import annotations

import json

import numpy as np
import pytest

from refmaker.catalogues import cmr_related_urls, intake_catalogue
from tests.catalogues.conftest import Make


def test_intake_reads_it(globe: Make) -> None:
    intake = pytest.importorskip("intake")
    manifest = globe()
    (manifest.parent / "catalogue.yaml").write_text(json.dumps(intake_catalogue({"air": str(manifest)})))
    catalogue = intake.open_catalog(str(manifest.parent / "catalogue.yaml"))
    opened = catalogue["air"].read()
    np.testing.assert_array_equal(opened["t"].values, np.arange(24).reshape(2, 3, 4))


def test_names_are_identifiers() -> None:
    with pytest.raises(ValueError, match="'a b'"):
        intake_catalogue({"a b": "x.json"})


def test_related_urls() -> None:
    (found,) = cmr_related_urls("s3://bucket/a.json")
    assert found["MimeType"] == "application/json"
    (found,) = cmr_related_urls("https://host/a.parq", description="x")
    assert (found["Description"], "MimeType" in found) == ("x", False)
    with pytest.raises(ValueError, match="https"):
        cmr_related_urls("/data/a.json")
