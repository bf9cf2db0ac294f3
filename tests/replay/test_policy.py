"""Where a manifest may lead: by its url alone, by what host names stand for, by redirects."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest

from refmaker.errors import RefmakerError, SourceError
from refmaker.manifest.manifest import Target
from refmaker.replay.filesystem import FileSystem
from refmaker.replay.policy import Policy
from refmaker.replay.read_errors import redact, secrets_of
from tests.replay.scenes import DATA, VALUES, array, manifest, references, scene
from tests.servers import RangeServer

CHUNK = VALUES[:2].tobytes()
ELSEWHERE = ["https://h/m.json", "s3://b/m.json", "simplecache::https://h/m.json"]


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("ftp://h/out/m.json", "ftp://h/in/a.nc"),
        ("ftp://h:21/out/m.json", "ftp://h/in/a.nc"),
        ("ftp://u@10.0.0.1:2121/m.json", "ftp://u@10.0.0.1:2121/a.nc"),
        ("ftp://u:p@h/m.json", "ftp://h/a.nc"),
        ("sftp://h:2222/m.json", "ssh://h:2222/a.nc"),
        ("smb://h/share/m.json", "smb://h/share/a.nc"),
        ("webhdfs://h:50070/m.json", "webhdfs://h:50070/a.nc"),
        ("github://org:repo@main/m.json", "github://org:repo@main/a.nc"),
        ("simplecache::ftp://h/m.json", "zip://a.nc::ftp://h/a.zip"),
        ("webdav://out/m.json", "webdav://in/a.nc"),
    ],
)
def test_the_server_of_a_manifest_is_open_for_every_protocol(base: str, url: str) -> None:
    Policy(base).check(url)


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("ftp://h/m.json", "ftp://other/a.nc"),
        ("ftp://h/m.json", "ftp://h:2121/a.nc"),
        ("ftp://h/m.json", "sftp://h/a.nc"),
        ("sftp://u@h/m.json", "sftp://root@h/a.nc"),
        ("sftp://h/m.json", "sftp://root@h/etc/shadow"),
        ("github://org:repo@main/m.json", "github://org:secret@main/a.nc"),
        ("ftp://h/m.json", "/etc/passwd"),
        ("simplecache::file://h/m.json", "file://h/etc/passwd"),
    ],
)
def test_other_servers_users_and_ports_are_not_that_of_the_manifest(base: str, url: str) -> None:
    with pytest.raises(SourceError, match="allow_local"):
        Policy(base).check(url)


@pytest.mark.parametrize("base", ELSEWHERE)
@pytest.mark.parametrize(
    "url",
    [
        "/etc/passwd",
        "file:///etc/passwd",
        "local:///etc/passwd",
        "memory://secret",
        "git://repo:HEAD@file",
        "simplecache::file:///etc/passwd",
        "zip://a::/home/x.zip",
        "zip://a::file:///home/x.zip",
        "zip://a::relative.zip",
        "simplecache::zip://a::file:///home/x.zip",
        "dir::file:///etc",
        "sftp://h/a",
        "ftp://127.0.0.1/a",
        "reference://x",
        "http://127.0.0.1/a",
        "http://127.1.2.3:80/a",
        "http://10.0.0.1/a",
        "http://192.168.1.1/a",
        "http://169.254.169.254/latest/meta-data",
        "http://0.0.0.0/a",
        "http://100.64.0.1/a",
        "https://[::1]/a",
        "https://[fe80::1]/a",
        "https://[fd00::1]/a",
        "https://[::ffff:127.0.0.1]/a",
        "https://[64:ff9b::7f00:1]/a",
        "https://[2002:7f00:1::]/a",
        "simplecache::http://127.0.0.1/a",
        "https://user@127.0.0.1/a",
    ],
)
def test_a_manifest_from_elsewhere_does_not_lead_here(base: str, url: str) -> None:
    with pytest.raises(SourceError, match="allow_local"):
        Policy(base).check(url)
    Policy(base, allow_local=True).check(url)


@pytest.mark.parametrize("url", ["https://h/a", "http://8.8.8.8/a", "s3://b/a", "simplecache::s3://b/a", "gs://b/a"])
def test_other_places_are_open(url: str) -> None:
    for base in ELSEWHERE:
        Policy(base).check(url)


@pytest.mark.parametrize("base", [None, "/d/m.json", "memory://m.json"])
@pytest.mark.parametrize("url", ["/d/a.nc", "memory://a.nc", "http://127.0.0.1/a", "sftp://h/a"])
def test_a_manifest_from_here_leads_anywhere(base: str | None, url: str) -> None:
    Policy(base).check(url)


def test_the_server_of_the_manifest_is_open() -> None:
    policy = Policy("http://127.0.0.1:8080/d/m.json")
    policy.check("http://127.0.0.1:8080/e/a.nc")
    for url in ("http://127.0.0.1:8081/e/a.nc", "http://127.0.0.1/a.nc", "https://127.0.0.1:8080/a"):
        if url.startswith("https"):
            continue  # the same server, as far as addresses go
        with pytest.raises(SourceError, match="not public"):
            policy.check(url)
    Policy("zip://m.json::http://127.0.0.1:8080/a.zip").check("http://127.0.0.1:8080/a.nc")


@pytest.mark.parametrize(
    ("prefix", "inside", "outside"),
    [
        ("s3://b/d", ["s3://b/d", "s3://b/d/a", "zip://x::s3://b/d/a.zip"], ["s3://b/data", "s3://b", "gs://b/d/a"]),
        ("s3://b/d/", ["s3://b/d/a"], ["s3://b/data", "s3://c/d/a"]),
        (
            "https://h/p/",
            ["https://h/p/a", "https://H:443/p/a", "https://h/p/a?b=/../c"],
            [
                "https://h/pq",
                "http://h/p/a",
                "https://h:444/p/a",
                "https://h@evil/p/a",
                "https://h.evil/p/a",
                "https://h/p/../q",
                "https://h/p/%2e%2e/q",
                "https://h/p/%252e%252e/q",
                "https://h/p/..%5cq",
                "https://evil/?https://h/p/",
            ],
        ),
        ("/d", ["/d/a", "file:///d/a", "/d"], ["/data", "/d/../e", "s3://d/a", "http://h/d/a"]),
    ],
)
def test_allowed_prefixes(prefix: str, inside: list[str], outside: list[str]) -> None:
    for base in (None, "https://elsewhere/m.json"):
        policy = Policy(base, (prefix,))
        for url in inside:
            policy.check(url)
        for url in outside:
            for given in (False, True):
                with pytest.raises(SourceError, match="allow"):
                    policy.check(url, given=given)


def test_links_do_not_lead_out_of_allowed_folders(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_bytes(b"s")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(SourceError):
        Policy(None, (str(tmp_path / "in"),)).check(str(tmp_path / "in" / "link"))


def test_nothing_is_allowed() -> None:
    with pytest.raises(SourceError):
        Policy(None, ()).check("/d/a")


# Through the filesystem, over sockets


def placed(server: RangeServer, tmp_path: Path, url: str) -> str:
    """Put a manifest that refers to `url` on a server."""
    scene(url).to_json(str(tmp_path / "m.json"))
    return server.add("m.json", (tmp_path / "m.json").read_bytes())


def read(fo: str, **options: Any) -> bytes:
    data: bytes = FileSystem(fo, **options).cat("g/x/0.0")
    return data


@pytest.fixture
def other() -> Any:
    with RangeServer() as server:
        yield server


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_servers_that_are_not_public(range_server: RangeServer, other: RangeServer, tmp_path: Path, name: str) -> None:
    url = other.add("a.nc", DATA).replace("127.0.0.1", name)
    fo = placed(range_server, tmp_path, url)
    with pytest.raises(SourceError, match="not public"):
        read(fo)
    assert other.served == []
    assert read(fo, allow_local=True) == CHUNK
    assert read(fo, allow=[url]) == CHUNK
    with pytest.raises(SourceError, match="allow"):
        read(fo, allow=[url + "x"])
    assert read(str(tmp_path / "m.json")) == CHUNK


@pytest.mark.parametrize("chain", ["", "simplecache::"])
def test_redirects(range_server: RangeServer, other: RangeServer, tmp_path: Path, chain: str) -> None:
    options: dict[str, Any] = {}
    if chain:
        options["remote_options"] = {chain + "http://": {"simplecache": {"cache_storage": str(tmp_path / "cache")}}}
    away = other.add("a.nc", DATA)
    range_server.redirects["a.nc"] = away
    url = f"{range_server.url}/a.nc"
    fo = placed(range_server, tmp_path, chain + url)
    with pytest.raises(SourceError, match="not public") as error:
        read(fo)
    assert isinstance(error.value, RefmakerError)
    assert other.served == []
    with pytest.raises(SourceError, match="allow"):
        read(fo, allow=[url])
    assert other.served == []
    if not chain:
        assert read(fo, allow=[url, away]) == CHUNK
        assert read(fo, allow_local=True) == CHUNK


def test_redirects_within_the_server_of_the_manifest(range_server: RangeServer, tmp_path: Path) -> None:
    range_server.redirects["a.nc"] = "/b.nc"
    range_server.add("b.nc", DATA)
    assert read(placed(range_server, tmp_path, f"{range_server.url}/a.nc")) == CHUNK


def test_a_list_of_prefixes_is_a_list() -> None:
    with pytest.raises(TypeError, match="allow"):
        FileSystem("m.json", allow="s3://b/")


# What errors do not say


def test_secrets_do_not_show(range_server: RangeServer) -> None:
    range_server.fault, range_server.fault_heads = "403", True
    plain = f"{range_server.url}/a.nc"
    login = plain.replace("//", "//user:hunter2@")
    signed = f"{plain}?X-Amz-Signature=hunter2"
    header = {"headers": {"Authorization": "Bearer hunter2"}}
    prefix = {range_server.url: {"client_kwargs": {"headers": {"X-Token": "hunter2"}}}}
    whole = manifest({"g/x": array((2, 4), (2, 4), references({}, whole={0: 0}))}, [Target(signed)])
    for url, options in ((login, {}), (signed, {}), (plain, header), (plain, prefix)):
        fs = FileSystem(scene(url), remote_options=options)
        with pytest.raises(SourceError) as error:
            fs.cat("g/x/0.0")
        assert "403" in shown(error.value)
    with pytest.raises(SourceError) as error:
        FileSystem(whole).info("g/x/0.0")
    assert "hunter2" not in shown(error.value)


def shown(error: SourceError) -> str:
    """Return all that an error can show."""
    text = "".join(traceback.format_exception(error)) + str(error.args) + str(vars(error))
    assert "hunter2" not in text
    return text


def test_secrets_in_the_text_of_errors() -> None:
    options = {"s3://b": {"secret": "hunter2", "client_kwargs": {"aws_session_token": "hunter3"}}, "anon": "False"}
    assert secrets_of(options) == {"hunter2", "hunter3"}
    assert redact("ask https://u:p@h/a?b=c&d for hunter2", ["hunter2"]) == "ask https://h/a?… for …"
