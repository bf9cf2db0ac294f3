"""Some of the generated files of `tests.netcdf3.table`: every value of every property with many of the others."""

from __future__ import annotations

import pytest

from tests.netcdf3.table import cases, check

SOME = [case for number, case in enumerate(cases()) if number % 41 == 0]


def test_every_property_occurs():
    for name in ("version", "layout", "width", "records", "count", "written"):
        assert {getattr(case, name) for case in SOME} == {getattr(case, name) for case in cases()}
    assert {(case.version, case.type) for case in SOME} == {(case.version, case.type) for case in cases()}


@pytest.mark.parametrize("case", SOME, ids=lambda case: f"{case.version}-{case.type}-{case.layout}-{case.count}")
def test_case(case, tmp_path):
    assert check(case, tmp_path)["same"] > 0
