"""Source files for the command line, and a way to run it inside the test's process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click.testing
import h5py
import numpy as np
import pytest
from refmaker_cli.main import main

Run = Callable[..., click.testing.Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run `refmaker ARGUMENTS` in a directory of its own."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def invoke(*arguments: object) -> click.testing.Result:
        result = click.testing.CliRunner().invoke(main, [str(a) for a in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


def write_source(path: Path) -> Path:
    """Write a file with a chunked, a contiguous, a scalar and a partly written dataset, one of them in a group."""
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "chunked", data=np.arange(40, dtype="<i4").reshape(4, 10), chunks=(2, 5), compression="gzip"
        )
        file.create_dataset("contiguous", data=np.linspace(0, 1, 7))
        file["scalar"] = np.float32(1.5)
        sparse = file.create_dataset("group/sparse", shape=(30,), chunks=(10,), dtype="u2")
        sparse[:10] = 1
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a file in which nothing is refused."""
    return write_source(tmp_path / "source.h5")


@pytest.fixture
def refusing(tmp_path: Path) -> Path:
    """Return a file with one dataset that Zarr cannot express."""
    path = write_source(tmp_path / "refusing.h5")
    with h5py.File(path, "a") as file:
        regions = file.create_dataset("regions", shape=(1,), dtype=h5py.regionref_dtype)
        regions[0] = file["contiguous"].regionref[2:4]
    return path
