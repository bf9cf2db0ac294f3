"""What is answered under which path, and what each way to fail is answered with."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import refmaker
import refmaker.serve
from refmaker.serve import answers, catalogue
from tests.serve.conftest import VALUES, serving, write_air
from tests.servers import RangeServer


def test_bytes_are_those_of_the_file(air: Path, clients: Any) -> None:
    client = clients(air)
    stored = client.get("/air.json/t/1.0")
    with h5py.File(air.parent / "air.h5") as file:
        _, raw = file["t"].id.read_direct_chunk((2, 0))
    assert stored.body == raw
    assert stored.headers["content-length"] == str(len(raw))
    assert client.get("/~v3-decoded/air.json/t/c/0/0").body[: VALUES.nbytes] == VALUES.tobytes()
    assert np.frombuffer(client.get("/air.json/group/plain/0").body, ">f8").tolist() == list(range(50_000))


def test_ranges_heads_and_tags(air: Path, clients: Any) -> None:
    client = clients(air, max_age=60)
    path = "/air.json/group/plain/0"
    whole = client.get(path)
    assert (whole.status, whole.headers["cache-control"]) == (200, "max-age=60")
    part = client.get(path, range="bytes=8-23")
    assert (part.status, part.body) == (206, whole.body[8:24])
    assert part.headers["content-range"] == "bytes 8-23/400000"
    assert client.get(path, range="bytes=-8").body == whole.body[-8:]
    beyond = client.get(path, range="bytes=400000-")
    assert (beyond.status, beyond.headers["content-range"]) == (416, "bytes */400000")
    head = client.get(path, "HEAD", range="bytes=8-23")
    assert (head.status, head.body, head.headers["content-length"]) == (206, b"", "16")
    tag = whole.headers["etag"]
    assert client.get(path, if_none_match=f'"x", W/{tag}').status == 304
    assert client.get(path, if_none_match='"x"').status == 200
    assert client.get(path, range="bytes=0-1", if_range=tag).status == 206
    assert client.get(path, range="bytes=0-1", if_range='"x"').body == whole.body
    inlined = client.get("/air.json/group/one/0", range="bytes=1-2")
    assert (inlined.status, len(inlined.body)) == (206, 2)
    assert client.get("/air.json/.zmetadata").headers["cache-control"] == "no-cache"


def test_absent_and_refused(air: Path, clients: Any) -> None:
    client = clients(air)
    assert client.get("/air.json/nothing/0").status == 404
    assert client.get("/air.json/refused/.zarray").status == 501
    assert "no Zarr has this" in json.loads(client.get("/air.json/refused/0").body)["message"]
    assert client.get("/nothing/.zgroup").status == 404
    assert client.get("/nothing/t/0.0").status == 502
    assert client.get("/air.json/../../etc/passwd").status in (404, 500)
    assert client.get("/air.json/t/0.0", "POST").status == 405
    assert client.get("/air.json/refused/.zarray", "HEAD").body == b""


def test_only_keys_of_the_manifest(air: Path, clients: Any) -> None:
    client = clients(air.parent)
    for path in ("/air.h5", "/air.json/air.h5", f"/air.json/{air}", "/%2e%2e/air.h5", "//etc/passwd"):
        assert client.get(path).status in (404, 502), path


def test_long_answers_come_in_pieces(air: Path, clients: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "PIECE", 70_000)
    monkeypatch.setattr(answers, "_SLICE", 30_000)
    client = clients(air)
    found = client.get("/air.json/group/plain/0")
    assert np.frombuffer(found.body, ">f8").tolist() == list(range(50_000))
    part = client.get("/air.json/group/plain/0", range="bytes=100-300000")
    assert part.body == found.body[100:300_001]


def test_what_fails_midway_is_never_whole(air: Path, clients: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "PIECE", 70_000)
    client = clients(air)
    size = os.path.getsize(air.parent / "air.h5")
    read = refmaker.FileSystem._cat_file

    async def cut(self: Any, path: str, start: Any = None, end: Any = None, **kwargs: Any) -> bytes:
        if start:
            os.truncate(air.parent / "air.h5", size // 2)
        return await read(self, path, start, end, **kwargs)

    monkeypatch.setattr(refmaker.FileSystem, "_cat_file", cut)
    found = client.get("/air.json/group/plain/0")
    assert not found.complete
    assert len(found.body) < int(found.headers["content-length"])
    assert 'cause="broken"' in client.get("/metrics").body.decode()


FAULTS = ("403", "404", "416", "500", "503", "html", "short", "short-undeclared", "truncated", "empty", "other-range")


@pytest.fixture
def remote(tmp_path: Path, range_server: RangeServer) -> Path:
    """Return a manifest whose target is on a server."""
    write_air(tmp_path / "air.h5")
    url = range_server.add("air.h5", (tmp_path / "air.h5").read_bytes())
    refmaker.write_manifest(refmaker.scan(url, inline_limit=0), tmp_path / "air.json")
    return tmp_path / "air.json"


@pytest.mark.parametrize("tree", ["", "/~v3-stored", "/~v2-decoded"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_target_that_fails_is_no_missing_chunk(
    remote: Path, range_server: RangeServer, clients: Any, fault: str, tree: str
) -> None:
    client = clients(remote, attempts=1)
    key = "t/c/0/0" if "v3" in tree else "t/0.0"
    range_server.fault = fault
    found = client.get(f"{tree}/air.json/{key}")
    assert found.status == 502, found
    assert json.loads(found.body)["error"] == "source"
    assert found.headers["cache-control"] == "no-store"
    range_server.fault = None
    assert client.get(f"{tree}/air.json/{key}").status == 200


@pytest.mark.parametrize("tree", ["", "/~v3-stored", "/~v2-decoded"])
def test_a_target_that_changed(remote: Path, range_server: RangeServer, clients: Any, tree: str) -> None:
    client = clients(remote, attempts=1)
    data = range_server.files["air.h5"].data
    range_server.add("air.h5", data[:-1] + b"x")
    found = client.get(f"{tree}/air.json/t/{'c/0/0' if 'v3' in tree else '0.0'}")
    assert (found.status, json.loads(found.body)["error"]) == (409, "changed")


def test_a_target_that_is_gone(air: Path, clients: Any) -> None:
    client = clients(air)
    os.unlink(air.parent / "air.h5")
    assert client.get("/air.json/t/0.0").status == 502


def test_a_manifest_that_is_gone(air: Path, clients: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "FRESH", 0.0)
    client = clients(air.parent)
    assert client.get("/air.json/t/0.0").status == 200
    os.unlink(air)
    assert client.get("/air.json/t/0.0").status == 502
    assert client.get("/air.json/t/0.0").status == 502


def test_the_policy_of_targets_holds(air: Path, clients: Any) -> None:
    client = clients(air, allow=(str(air.parent / "elsewhere"),))
    assert client.get("/air.json/t/0.0").status == 502
    assert client.get("/air.json/.zmetadata").status == 200


def test_secrets_of_targets_are_not_said(air: Path, clients: Any) -> None:
    manifest = refmaker.open_manifest(air)
    url = "http://user:pass@127.0.0.1:9/air.h5?sig=secret"
    manifest = replace(manifest, targets=[replace(target, url=url) for target in manifest.targets])
    refmaker.write_manifest(manifest, air)
    found = clients(air, attempts=1).get("/air.json/t/0.0")
    assert found.status == 502
    assert b"secret" not in found.body
    assert b"pass" not in found.body


def test_tokens_cors_and_hosts(air: Path, clients: Any) -> None:
    client = clients(air, token="secret", cors=["https://map.example"], hosts=["localhost"])
    assert client.get("/air.json/.zgroup", host="localhost").status == 401
    found = client.get(
        "/air.json/.zgroup", host="localhost", authorization="Bearer secret", origin="https://map.example"
    )
    assert (found.status, found.headers["access-control-allow-origin"]) == (200, "https://map.example")
    assert "ETag" in found.headers["access-control-expose-headers"]
    assert client.get("/air.json/.zgroup", authorization="Bearer secret", host="evil.example").status == 421
    assert client.get("/healthz", host="localhost").body == b"ok\n"


def test_a_line_for_each_answer(air: Path, clients: Any, caplog: pytest.LogCaptureFixture) -> None:
    client = clients(air)
    with caplog.at_level(logging.INFO, "refmaker.serve.access"):
        client.get("/air.json/t/0.0?token=secret")
        client.get("/air.json/nothing")
    lines = [json.loads(record.getMessage()) for record in caplog.records]
    assert [line["status"] for line in lines] == [200, 404]
    assert lines[1]["cause"] == "absent"
    assert lines[0]["bytes"] > 0
    assert "secret" not in caplog.text


def test_mounted_in_another_application(air: Path) -> None:
    import zarr
    from starlette.applications import Starlette
    from starlette.routing import Mount

    outer = Starlette(routes=[Mount("/data", app=refmaker.serve.app(str(air)))])
    with serving(outer) as url:
        found = zarr.open_group(f"{url}/data/air.json", mode="r")
        assert (found["t"][:] == VALUES).all()
