"""Remote output directories: the ledger goes there and comes back; runs on other machines are told."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import refmaker
from refmaker.batch.check import check
from refmaker.batch.run import LEDGER
from refmaker.errors import BatchError, OutputError
from refmaker.locks import object_lock
from tests.servers import S3Server, s3_server

from .archives import InProcess, done, run, write_archive, write_file

__all__ = ["s3_server"]

NAMES = ["a.nc", "b.h5", "damaged.nc", "refused.h5"]


class Scene:
    """An archive in a bucket, an output directory in the same."""

    def __init__(self, server: S3Server, folder: Path, name: str) -> None:
        self.server = server
        self.folder = folder
        self.source = f"s3://bucket/{name}/in"
        self.out = f"s3://bucket/{name}/out"
        for path in write_archive(folder / "archive").rglob("*"):
            if path.is_file():
                server.add(f"{name}/in/{path.relative_to(folder / 'archive')}", path.read_bytes())

    def run(self, ledger: str = "ledger", **options: Any) -> Any:
        ours = {"storage_options": self.server.options, "out_storage_options": self.server.options}
        return run(self.source, self.out, ledger=str(self.folder / ledger), **ours, **options)

    def there(self) -> list[str]:
        files = self.server.filesystem().find(self.out)
        return sorted(path.removeprefix(self.out.removeprefix("s3://") + "/") for path in files)

    def put(self, name: str, content: bytes) -> None:
        self.server.filesystem().pipe_file(f"{self.out}/{name}", content)


@pytest.fixture
def scene(s3_server: S3Server, tmp_path: Path, request: pytest.FixtureRequest) -> Scene:
    return Scene(s3_server, tmp_path, request.node.name.replace("[", "-").replace("]", ""))


def test_manifests_and_ledger_are_there(scene: Scene) -> None:
    result = scene.run()
    assert done(result) == NAMES
    assert scene.there() == ["a.nc.json", "deep/er/b.h5.json", "deep/refused.h5.json", LEDGER]
    manifest = refmaker.open_manifest(f"{scene.out}/deep/er/b.h5.json", storage_options=scene.server.options)
    assert manifest.targets[0].url == f"{scene.source}/deep/er/b.h5"
    assert done(scene.run(retry_failed=False)) == []


def test_another_machine_goes_on(scene: Scene) -> None:
    scene.run()
    assert done(scene.run("other", retry_failed=False)) == []
    scene.server.filesystem().pipe_file(f"{scene.source}/a.nc", write_file(scene.folder / "new.nc", 5).read_bytes())
    assert done(scene.run(retry_failed=False)) == ["a.nc"], "the first takes what the other did"


def test_ledgers_that_have_parted(scene: Scene) -> None:
    scene.run()
    (scene.folder / "copy").write_bytes((scene.folder / "ledger").read_bytes())
    scene.run()
    scene.server.filesystem().put_file(str(scene.folder / "copy"), f"{scene.out}/{LEDGER}")
    scene.run("other")
    with pytest.raises(BatchError, match="have diverged"):
        scene.run()


def test_an_engine_that_fails_leaves_the_ledger_there(scene: Scene) -> None:
    class Failing(InProcess):
        def one(self, function: Any, item: Any) -> Any:
            if len(self.done) == 2:
                raise KeyboardInterrupt
            return super().one(function, item)

    with pytest.raises(KeyboardInterrupt):
        scene.run(engine=Failing())
    assert LEDGER in scene.there()
    assert f"{LEDGER}.lock" not in scene.there()
    assert len(scene.run("other", retry_failed=False).rows) == 2


def test_a_run_on_another_machine(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.put(f"{LEDGER}.lock", json.dumps({"run": "x", "host": "far.example", "pid": 7}).encode())
    with pytest.raises(BatchError, match=r"process 7 on far\.example"):
        scene.run()
    monkeypatch.setattr(object_lock, "DEAD_AFTER", -1e6)
    assert done(scene.run()) == NAMES


def test_a_dead_run_on_this_machine(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket
    import subprocess
    import sys

    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    lock = {"run": "x", "host": socket.gethostname(), "pid": process.pid}
    scene.put(f"{LEDGER}.lock", json.dumps(lock).encode())
    assert done(scene.run()) == NAMES
    scene.put(f"{LEDGER}.lock", json.dumps({**lock, "pid": os.getpid()}).encode())
    with pytest.raises(BatchError, match="another run"):
        scene.run()


def test_a_run_that_lost_its_lock_stores_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine took it for dead, while it slept."""
    monkeypatch.setattr(object_lock, "BEAT", -1.0)
    other = json.dumps({"run": "y", "host": "far.example", "pid": 8}).encode()

    class Sleeping(InProcess):
        def one(self, function: Any, item: Any) -> Any:
            if len(self.done) == 2:
                scene.put(f"{LEDGER}.lock", other)
            return super().one(function, item)

    with pytest.raises(OutputError, match="lost the lock"):
        scene.run(engine=Sleeping())
    assert scene.server.filesystem().cat_file(f"{scene.out}/{LEDGER}.lock") == other
    assert LEDGER not in scene.there()


def test_no_ledger_is_named(scene: Scene) -> None:
    with pytest.raises(BatchError, match="--ledger"):
        run(scene.source, scene.out)


def test_check_of_a_remote_directory(scene: Scene) -> None:
    options = {"storage_options": scene.server.options, "out_storage_options": scene.server.options}
    with pytest.raises(BatchError, match="no ledger here"):
        check(scene.out, **options)
    scene.run()
    found = check(scene.out, **options)
    assert (found.sources, found.same, found.differs) == (4, 3, False)
    scene.server.filesystem().pipe_file(f"{scene.source}/a.nc", write_file(scene.folder / "new.nc", 5).read_bytes())
    scene.server.filesystem().pipe_file(f"{scene.source}/c.nc", b"new")
    scene.server.filesystem().rm(f"{scene.source}/deep/er/b.h5")
    scene.server.filesystem().rm(f"{scene.out}/deep/refused.h5.json")
    found = check(scene.out, **options)
    assert found.new == [f"{scene.source}/c.nc"]
    assert list(found.changed) == [f"{scene.source}/a.nc"]
    assert found.gone == [f"{scene.source}/deep/er/b.h5"]
    assert found.missing == {f"{scene.source}/deep/refused.h5": "deep/refused.h5.json"}


def test_relative_targets_in_a_bucket(scene: Scene) -> None:
    import xarray as xr

    scene.run(relative=True)
    manifest = refmaker.open_manifest(f"{scene.out}/deep/er/b.h5.json", storage_options=scene.server.options)
    assert manifest.targets[0].url == "../../../in/deep/er/b.h5"
    opened = xr.open_dataset(
        "refmaker://",
        engine="zarr",
        consolidated=False,
        storage_options={
            "fo": f"{scene.out}/deep/er/b.h5.json",
            "remote_options": {"s3://": scene.server.options},
            "target_options": scene.server.options,
        },
    )
    assert opened["x"].values.tolist() == list(range(2, 14))
