from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from tests.hdf5.random_files import check, files


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(files())
def test_random_files(options):
    check(options)
