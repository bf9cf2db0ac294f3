"""Manifests made to do harm: whatever is in them is data."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import os
import pickle
import socket
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import fsspec
import numcodecs
import numpy as np
import pytest

import refmaker
from refmaker.codecs.allowed import check_codecs, unknown_codecs
from refmaker.combining import values
from refmaker.errors import ManifestError, RefmakerError, SourceError
from refmaker.kerchunk import compression
from refmaker.kerchunk.json_reader import read_json
from refmaker.kerchunk.parquet_shard_codec import decode_shard
from refmaker.kerchunk.parquet_shards import ShardedReferences
from refmaker.manifest.manifest import Target
from refmaker.replay import targets as replay_targets
from refmaker.replay.policy import Policy
from refmaker.replay.targets import Access, Targets
from tests.cli.conftest import Run, run
from tests.security.bounds import bounded, traced
from tests.security.hostile_server import served
from tests.servers import RangeServer, range_server

__all__ = ["range_server", "run"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does it")

PLAIN = {"zarr_format": 2, "shape": [4], "chunks": [2], "dtype": "<i4", "fill_value": 0, "order": "C",
         "filters": None, "compressor": None}  # fmt: skip


def document(array: dict[str, Any] | None = None, **refs: Any) -> dict[str, Any]:
    held = {".zgroup": {"zarr_format": 2}, "x/.zarray": {**PLAIN, **(array or {})}, **refs}
    return {"version": 1, "refs": held}


def encoded(data: bytes) -> str:
    return "base64:" + base64.b64encode(data).decode()


class Payload:
    """What must not be run."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


# Code.

PICKLES = [
    {"filters": [{"id": "pickle"}], "dtype": "|O"},
    {"compressor": {"id": "pickle", "protocol": 5}},
    {"filters": [{"id": "wrapper", "inner": {"id": "pickle"}}]},
    {"filters": [{"id": "shuffle", "elementsize": 4}, {"id": "Dill"}]},
]
PICKLES_3 = [
    [{"name": "bytes"}, {"name": "numcodecs.pickle"}],
    ["pickle"],
    [{"name": "sharding_indexed", "configuration": {"chunk_shape": [1], "codecs": [{"name": "cloudpickle"}]}}],
    [{"name": "sharding_indexed", "configuration": {"chunk_shape": [1], "index_codecs": ["numcodecs.pickle"]}}],
]


def document_3(codecs: list[Any]) -> dict[str, Any]:
    array = {"zarr_format": 3, "node_type": "array", "shape": [4], "data_type": "int32", "fill_value": 0,
             "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4]}}, "attributes": {},
             "chunk_key_encoding": {"name": "default"}, "codecs": codecs}  # fmt: skip
    return {"version": 1, "refs": {"zarr.json": {"zarr_format": 3, "node_type": "group"}, "x/zarr.json": array}}


@pytest.mark.parametrize("held", [*(document(change) for change in PICKLES), *map(document_3, PICKLES_3)])
def test_codecs_that_run_code(tmp_path: Path, run: Run, held: dict[str, Any]) -> None:
    """numcodecs' `pickle` runs what is in a chunk: no reader ever sees metadata that name it."""
    chunk = pickle.dumps(Payload(tmp_path / "owned"))
    held["refs"]["x/0" if "x/.zarray" in held["refs"] else "x/c/0"] = encoded(chunk)
    path = tmp_path / "m.json"
    path.write_text(json.dumps(held))
    with pytest.raises(ManifestError, match="runs what is in the data"):
        refmaker.open_manifest(path)
    with pytest.raises(ManifestError, match="runs what is in the data"):
        fsspec.filesystem("refmaker", fo=str(path), skip_instance_cache=True).cat("x/0")
    with pytest.raises(ManifestError, match="runs what is in the data"):
        fsspec.filesystem("refmaker", fo=held, skip_instance_cache=True).cat("x/0")
    for arguments in (["info", path], ["convert", path, "-o", tmp_path / "c.parq"], ["verify", path],
                      ["combine", path, path, "-o", tmp_path / "o.json"]):  # fmt: skip
        assert run(*arguments).exit_code == 1
    metadata = {key: value for key, value in held["refs"].items() if key.rpartition("/")[2].startswith((".z", "zarr"))}
    (tmp_path / "s.parq").mkdir()
    (tmp_path / "s.parq/.zmetadata").write_text(json.dumps({"metadata": metadata, "record_size": 10}))
    with pytest.raises(ManifestError, match="runs what is in the data"):
        refmaker.open_manifest(tmp_path / "s.parq")
    assert not (tmp_path / "owned").exists()


def test_metadata_do_not_stand_where_they_are_not_looked_at(tmp_path: Path) -> None:
    """Consolidated metadata, which zarr would take instead, and other data of a Parquet set under keys of metadata."""
    bad = {"metadata": {"x/.zarray": PLAIN | PICKLES[0]}, "zarr_consolidated_format": 1}
    manifest = read_json(json.dumps(document(**{".zmetadata": json.dumps(bad)})).encode(), source="m")
    with pytest.raises(FileNotFoundError):
        refmaker.FileSystem(manifest).cat(".zmetadata")
    metadata = {".zgroup": {"zarr_format": 2}, "x/.zarray": PLAIN}
    for key in (".zmetadata", "x/.zarray", "y/zarr.json"):
        extra = {key: encoded(json.dumps(bad).encode())}
        ours = {"format": 1, "targets": [], "shards": {}, "extra": extra}
        (tmp_path / "s.parq").mkdir(exist_ok=True)
        text = json.dumps({"metadata": metadata, "record_size": 10, "refmaker": ours})
        (tmp_path / "s.parq/.zmetadata").write_text(text)
        with pytest.raises(ManifestError, match="metadata"):
            refmaker.open_manifest(tmp_path / "s.parq")


def test_codecs_of_manifests_from_elsewhere(range_server: RangeServer, tmp_path: Path) -> None:
    """A codec that is not known may be any code that is installed: only a trusted manifest may name it."""
    held = document({"compressor": {"id": "somebodys"}}, **{"y/.zarray": PLAIN, "y/0": encoded(bytes(8))})
    text = json.dumps(held).encode()
    url = range_server.add("m.json", text)
    remote = refmaker.FileSystem(url)
    with pytest.raises(ManifestError, match=r"somebodys.*allow_local=True"):
        remote.cat("x/.zarray")
    assert remote.cat("y/0") == bytes(8)
    assert remote.cat("y/.zarray")
    decoded = refmaker.FileSystem(url, view="decoded")
    with pytest.raises(ManifestError, match="somebodys"):
        decoded.cat("x/.zarray")
    assert refmaker.FileSystem(url, allow_local=True).cat("x/.zarray")
    (tmp_path / "m.json").write_bytes(text)
    assert refmaker.FileSystem(str(tmp_path / "m.json")).cat("x/.zarray")


def test_known_codecs_are_those_that_readers_have() -> None:
    for codec in ("zlib", "blosc", "zstd", "shuffle", "vlen-utf8", "refmaker_hdf5", "grib", "imagecodecs_jpeg2k"):
        assert unknown_codecs({"filters": [{"id": codec}], "compressor": None}) == []
        check_codecs({"filters": [{"id": codec}]}, structure="x")
    assert unknown_codecs({"codecs": [{"name": "bytes"}, {"name": "numcodecs.zlib"}, {"name": "crc32c"}]}) == []
    assert unknown_codecs({"codecs": ["bytes", {"name": "evil"}]}) == ["evil"]


def test_dtypes_are_names(tmp_path: Path) -> None:
    """numpy evaluates some texts that are given to it as a dtype."""
    from refmaker.zarr.dtype_json import dtype_of_text
    from refmaker.zarr.elements import elements_of
    from refmaker.zarr.metadata import ArrayMetadata

    for text in ("(2,)i4", "i4,i4", ", ", "[" * 1000, "O" * 10**6, "(" * 50_000 + "i4", "i4\n", ""):
        with bounded(), pytest.raises(ValueError, match="no name of a dtype"):
            dtype_of_text(text)
        assert elements_of(ArrayMetadata.from_json({**PLAIN, "dtype": text})) is None
    nested: Any = "<i4"
    for _ in range(300):
        nested = [["a", nested]]
    with bounded():
        elements_of(ArrayMetadata.from_json({**PLAIN, "dtype": nested}))
    refmaker.FileSystem(document({"dtype": ", "}), view="decoded").cat("x/.zarray")


# Where a manifest leads.


@pytest.mark.parametrize("key", ["../x/y", "/etc/passwd", "x/../../y", "a//b", "./a", "a/.", "a/"])
def test_keys_that_lead_elsewhere(tmp_path: Path, key: str) -> None:
    text = json.dumps(document(**{key: encoded(b"data")})).encode()
    with pytest.raises(ManifestError):
        read_json(text, source="m")


@pytest.mark.parametrize("path", ["../x", "/etc", "a/../../b", ".", ".."])
def test_paths_of_arrays_that_lead_elsewhere(tmp_path: Path, path: str) -> None:
    with pytest.raises(ManifestError):
        read_json(json.dumps(document(**{f"{path}/.zarray": PLAIN})).encode(), source="m")
    folder = tmp_path / "s.parq"
    folder.mkdir()
    metadata = {".zgroup": {"zarr_format": 2}, f"{path}/.zarray": PLAIN}
    (folder / ".zmetadata").write_text(json.dumps({"metadata": metadata, "record_size": 10}))
    with pytest.raises(ManifestError):
        refmaker.open_manifest(folder)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/hostname", "/etc/hostname", "local:///etc/hostname", "memory://x", "zip://a::/etc/hostname",
        "simplecache::file:///etc/hostname", "reference://x", "ssh://localhost/etc/hostname", "http://127.0.0.1:1/x",
        "http://169.254.169.254/latest/meta-data", "http://[::1]/x", "http://localhost/x", "dir://::file:///etc",
        "../../../../../etc/hostname", "data:text/plain,x", "git://x", "arrow_hdfs://x/y",
    ],
)  # fmt: skip
def test_targets_of_a_manifest_from_elsewhere(range_server: RangeServer, url: str) -> None:
    text = json.dumps(document(**{"x/0": [url, 0, 8]})).encode()
    base = range_server.add("m.json", text).replace("127.0.0.1", "localhost")
    with pytest.raises((SourceError, ManifestError)):
        refmaker.FileSystem(base, timeout=5.0, attempts=1).cat("x/0")


HOSTS = [
    *("127.0.0.1", "①②⑦.⓪.⓪.①", "127。0。0。1", "１２７.0.0.1", "127.0.0.1.", "2130706433", "0x7f000001"),
    *("0177.0.0.1", "127.1", "0", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::1%25lo]", "localhost", "localhost."),
    *("ｌｏｃａｌｈｏｓｔ", "user@127.0.0.1", "example.com@127.0.0.1", "[64:ff9b::7f00:1]", "[2002:7f00:1::]"),
    *("[::127.0.0.1]", "[::]", "0.0.0.0", "127.0.0.1%00"),
]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("by", ["url", "redirect"])
def test_hosts_spelled_otherwise(monkeypatch: pytest.MonkeyPatch, host: str, by: str) -> None:
    """However an address of this machine is spelled, no request of a manifest from elsewhere arrives there."""
    requests: list[bytes] = []

    def answer(connection: socket.socket, request: bytes) -> None:
        requests.append(request.split(b" ")[1])
        if b"/first" in request:
            place = f"Location: http://{host}:{connection.getsockname()[1]}/x\r\nContent-Length: 0"
            connection.sendall(b"HTTP/1.1 302 Found\r\n" + place.encode() + b"\r\n\r\n")
            return
        head = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-7/8\r\nContent-Length: 8\r\n\r\n"
        connection.sendall(head + bytes(8))

    with served(answer) as (url, _):
        port = url.rpartition(":")[2].partition("/")[0]
        base = "https://elsewhere.example/m.json" if by == "url" else url  # the server of the manifest may redirect
        monkeypatch.setattr(replay_targets, "Policy", lambda _, *more: Policy(base, *more))
        monkeypatch.setattr(
            Policy, "exempt", lambda self, name, number: by == "redirect" and name == "127.0.0.1" and not requests
        )
        target = f"http://{host}:{port}/x" if by == "url" else f"http://127.0.0.1:{port}/first"
        manifest = read_json(json.dumps(document(**{"x/0": [target, 0, 8]})).encode(), source="m")
        fs = refmaker.FileSystem(manifest, timeout=5.0, attempts=1, skip_instance_cache=True)
        with pytest.raises(RefmakerError):
            fs.cat("x/0")
    assert requests == ([] if by == "url" else [b"/first"])


def test_secrets_are_not_sent_where_a_manifest_leads(range_server: RangeServer, tmp_path: Path) -> None:
    """Headers that are meant for the archive, and a manifest that names another server."""
    data = range_server.add("data", bytes(8))
    text = json.dumps(document(**{"x/0": [data, 0, 8]})).encode()
    base = range_server.add("m.json", text).replace("127.0.0.1", "localhost")  # another server, as urls have it
    secret = {"headers": {"X-Api-Key": "5ec2e7"}}
    wrapped = {"client_kwargs": {"headers": {"Authorization": "5ec2e7"}}}
    for options in (secret, wrapped, {"client_kwargs": {"auth": object()}}):
        fs = refmaker.FileSystem(base, remote_options=options, allow_local=False, allow=None, skip_instance_cache=True)
        with pytest.raises(SourceError):
            fs.cat("x/0")
    assert [r.path for r in range_server.served if r.path == "data"] == []
    policy = Policy("https://archive.example/m.json")
    assert policy.is_strange("https://evil.example/data")
    assert policy.is_strange("simplecache::https://evil.example/data")
    assert not policy.is_strange("https://archive.example/data")
    assert not policy.is_strange("s3://bucket/data")
    assert not Policy("/data/m.json").is_strange("https://evil.example/data")
    assert not Policy("https://archive.example/m.json", ("https://evil.example/",)).is_strange("https://evil.example/x")

    def targets(options: dict[str, Any]) -> Targets:
        records = [Target("https://evil.example/data")]
        return Targets(records, "https://archive.example/m.json", Access(remote_options=options))

    with pytest.raises(SourceError, match="would have the secrets"):
        targets(secret).location(0)
    assert targets({"https://evil.example": secret}).location(0)[1] == secret
    assert targets({"headers": {"User-Agent": "me"}}).location(0)[1]


# Bombs.


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"version":1,"refs":{"a":'])
def test_json_nested_a_million_deep(opening: str) -> None:
    with bounded(), pytest.raises(ManifestError):
        read_json((opening * 1_000_000).encode(), source="m")


def test_metadata_nested_deep() -> None:
    """As deep as JSON may be: what is done with it does not end in an error that nobody expects."""
    value: Any = 1
    for _ in range(400):
        value = {"a": [value]}
    manifest = read_json(json.dumps(document({"extra": value}, **{".zattrs": value})).encode(), source="m")
    fs = refmaker.FileSystem(manifest)
    assert fs.cat("x/.zarray")
    assert fs.cat(".zattrs")


@pytest.mark.parametrize("text", ["9" * 10**6, "-" + "9" * 10**6, "1e" + "9" * 10**6, "0." + "9" * 10**6])
def test_numbers_of_a_million_digits(text: str) -> None:
    body = json.dumps(document(**{"x/0": ["a.nc", 123456789, 8]})).replace("123456789", text).encode()
    with bounded(), pytest.raises(ManifestError):
        read_json(body, source="m")


@pytest.mark.parametrize("number", [-1, 2**63, 2**64, 2**200, 1.5, True, None, "8", [1], {}])
def test_offsets_that_are_none(number: Any) -> None:
    try:
        manifest = read_json(json.dumps(document(**{"x/0": ["a.nc", number, 8]})).encode(), source="m")
    except ManifestError:
        return
    assert number == 2**63
    assert manifest.arrays["x"].references.offset.tolist() == [2**63]


def test_inlined_data_are_no_more_than_they_are_written_as(tmp_path: Path) -> None:
    held = document(**{"x/0": encoded(bytes(8_000_000))})
    text = json.dumps(held).encode()
    with bounded(memory=200 << 20):
        assert len(read_json(text, source="m").arrays["x"].references.inline[0]) == 8_000_000
    for data in ("base64:####", "base64:AAA", "base64:" + "A" * 10_001):
        with pytest.raises(ManifestError):
            read_json(json.dumps(document(**{"x/0": data})).encode(), source="m")


def test_generators_without_end() -> None:
    gen = {"key": "x/{{i}}", "url": "a", "dimensions": {"i": {"stop": 2**60}}}
    for gens in ([gen], [{**gen, "dimensions": {c: {"stop": 4000} for c in "ijkl"}}],
                 [{**gen, "dimensions": {"i": {"stop": 1 << 20}}}] * 5,
                 [{**gen, "key": "{{" + "i*" * 90 + "i}}", "dimensions": {"i": [1 << 60, 3]}}],
                 [{**gen, "key": "{{" + "(" * 150 + "i"}],
                 [{**gen, "key": "{{i.__class__}}"}], [{**gen, "url": "{% for x in range(9) %}"}],
                 [{**gen, "key": "{{" * 500_000}], [{**gen, "key": "{{" + "a" * 500_000}],
                 [{**gen, "key": "{{2**9999999}}"}]):  # fmt: skip
        text = json.dumps({**document({"shape": [2**40]}), "gen": gens}).encode()
        with bounded(30.0, 2 << 30), pytest.raises(ManifestError):
            read_json(text, source="m")


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_packed_manifests_that_blow_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    """Half a gigabyte of blanks, where 64 MiB are allowed: no more is unpacked than that."""
    monkeypatch.setattr(compression, "_LIMIT", 1 << 26)
    if suffix == "gz":
        packer = zlib.compressobj(9, wbits=31)
        data = b"".join(packer.compress(b" " * (1 << 20)) for _ in range(512)) + packer.flush()
    else:
        block = (1 << 17 << 3 | 1 << 1).to_bytes(3, "little") + b" "  # 128 KiB of one byte, RFC 8878, 3.1.1.2.2
        data = b"\x28\xb5\x2f\xfd\x00\x58" + block * 4096 + b"\x01\0\0"
    path = tmp_path / f"m.json.{suffix}"
    path.write_bytes(data)
    with bounded(memory=1 << 28), pytest.raises(ManifestError, match="unpack to too much"):
        refmaker.open_manifest(path)


# Parquet.


def shard(columns: dict[str, Any], **options: Any) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    made = io.BytesIO()
    pq.write_table(pa.table(columns), made, **options)
    return made.getvalue()


def decoded(data: bytes, rows: int = 4) -> Any:
    urls: dict[str, int] = {}
    return decode_shard(data, 0, rows, lambda url: urls.setdefault(url, len(urls)), structure="shard", source="s")


@pytest.mark.parametrize("codec", ["gzip", "zstd", "brotli"])
@pytest.mark.parametrize("lying", [False, True])
def test_shards_that_blow_up(codec: str, lying: bool) -> None:
    """Half a gigabyte of zeros in a page; also where the file says of its columns that there is next to nothing."""
    size = 1 << 29
    data = shard({"path": [None], "offset": [0], "size": [0], "raw": [bytes(size)]}, compression=codec,
                 use_dictionary=False, write_statistics=False)  # fmt: skip
    if lying:
        data = lowered(data, size)
    with bounded(memory=1 << 28), pytest.raises(ManifestError, match="unpacks to more"):
        decoded(data, 1)


def lowered(data: bytes, size: int) -> bytes:
    """Write 64 for every number of this size, or a little more, in the footer: totals of row groups and columns."""
    (length,) = struct.unpack("<I", data[-8:-4])
    footer = data[-8 - length : -8]
    changed = footer
    for more in range(64):
        wanted = varint(2 * (size + more))
        changed = changed.replace(wanted, b"\x80\x81" + b"\x80" * (len(wanted) - 3) + b"\0")
    assert changed != footer
    return data[: -8 - length] + changed + data[-8:]


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def test_rows_that_share_a_long_value() -> None:
    """A dictionary of one megabyte, ten thousand times: one object in memory."""
    import pyarrow as pa

    rows = 10_000
    raw = pa.DictionaryArray.from_arrays(pa.array([0] * rows), pa.array([bytes(range(256)) * 4096]))
    data = shard({"offset": [0] * rows, "size": [0] * rows, "raw": raw}, write_statistics=False)
    with bounded(memory=1 << 28):
        found = decoded(data, rows)
    assert len(found.inline) == rows
    assert len({id(value) for value in found.inline.values()}) == 1


def test_encodings_in_which_values_share_their_beginnings() -> None:
    columns = {"path": ["x" * 100_000 + str(i) for i in range(2000)], "offset": [1] * 2000, "size": [1] * 2000}
    data = shard(columns, use_dictionary=False, column_encoding={"path": "DELTA_BYTE_ARRAY"}, write_statistics=False,
                 data_page_size=1 << 30)  # fmt: skip
    with bounded(), pytest.raises(ManifestError, match="encoding 7"):
        decoded(data, 2000)


def test_schemas_nested_deep() -> None:
    def group(name: bytes, children: int) -> bytes:
        return b"\x35\0\x18" + varint(len(name)) + name + b"\x15" + varint(2 * children) + b"\0"

    depth = 200_000
    leaf = b"\x15\x02\x25\0\x18\x04path\0"
    meta = b"\x15\x02\x19\xfc" + varint(depth + 1) + group(b"g", 1) * depth + leaf + b"\x16\x0c\x19\x0c\0"
    data = b"PAR1" + meta + struct.pack("<I", len(meta)) + b"PAR1"
    with bounded(), pytest.raises(ManifestError):
        decoded(data)
    deep = b"\x1c" * 100_000
    with bounded(), pytest.raises(ManifestError, match="nested too deep"):
        decoded(b"PAR1" + deep + struct.pack("<I", len(deep)) + b"PAR1")


@pytest.mark.parametrize(
    "columns",
    [
        {"path": [1, 2, 3, 4], "offset": [1] * 4, "size": [1] * 4},
        {"path": ["a"] * 4, "offset": ["1"] * 4, "size": [1] * 4},
        {"path": ["a"] * 4, "offset": [1.5] * 4, "size": [1] * 4},
        {"path": ["a"] * 4, "offset": [-1] * 4, "size": [1] * 4},
        {"path": ["a"] * 4, "offset": [None] * 4, "size": [1] * 4},
        {"path": [["a"]] * 4, "offset": [1] * 4, "size": [1] * 4},
        {"path": [{"a": 1}] * 4, "offset": [1] * 4, "size": [1] * 4},
        {"raw": ["text"] * 4},
        {"offset": [1] * 4, "size": [1] * 4},
    ],
)
def test_shards_of_wrong_types(columns: dict[str, Any]) -> None:
    with bounded(), pytest.raises(ManifestError):
        decoded(shard(columns))


def test_counts_in_the_metadata_of_a_set(tmp_path: Path) -> None:
    """Records of a shard, shards, and references without end."""
    grid = {**PLAIN, "shape": [10**18], "chunks": [1]}
    metadata = {".zgroup": {"zarr_format": 2}, "x/.zarray": grid}
    folder = tmp_path / "s.parq"
    folder.mkdir()

    def opened(**more: Any) -> Any:
        (folder / ".zmetadata").write_text(json.dumps({"metadata": metadata, "record_size": 10, **more}))
        return refmaker.open_manifest(folder)

    for size in (0, -1, 2**40, 1.5, "10", None, True):
        with pytest.raises(ManifestError):
            opened(record_size=size)
    with bounded():
        manifest = opened()
        assert isinstance(manifest.arrays["x"].references, ShardedReferences)
        with pytest.raises(RefmakerError):
            manifest.load()
        fs = refmaker.FileSystem(str(folder))
        with pytest.raises(RefmakerError):
            fs.cat(f"x/{10**17}")
    for shards in (
        {"x": {"9" * 19: [1, "a", 1]}},
        {"x": {"0": [1, "a", 10**30]}},
        {"y": {}},
        {"x": {"-1": [1, "a", 1]}},
    ):
        ours = {"format": 1, "targets": [], "shards": shards}
        with bounded(), pytest.raises(RefmakerError):
            opened(refmaker=ours).load()


# Chunks.


def packed(codec: str, size: int) -> bytes:
    if codec in ("zlib", "gzip"):
        packer = zlib.compressobj(9, wbits=31 if codec == "gzip" else 15)
        return b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()
    if codec == "bz2":
        return bz2.compress(bytes(size))
    return bytes(numcodecs.get_codec({"id": codec}).encode(bytes(size)))


@pytest.mark.parametrize("codec", ["zlib", "gzip", "bz2", "zstd", "lz4", "blosc"])
def test_inlined_chunks_that_blow_up(codec: str) -> None:
    """In the decoded view, a chunk of eight bytes is given eight bytes of memory, whatever is in it."""
    fs = refmaker.FileSystem(document({"compressor": {"id": codec}}, **{"x/0": encoded(packed(codec, 1 << 28))}),
                             view="decoded")  # fmt: skip
    with traced(memory=64 << 20), pytest.raises(RefmakerError):
        fs.cat("x/0")


@pytest.mark.parametrize("codec", ["zlib", "gzip", "bz2", "zstd", "lz4", "blosc"])
@pytest.mark.parametrize("text", [False, True])
def test_coordinates_that_blow_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str, text: bool) -> None:
    """What combining decodes to compare it."""
    monkeypatch.setattr(values, "MOST", 1 << 20)
    monkeypatch.setattr(values, "_MOST_TEXT", 1 << 20)
    held = {"shape": [1], "chunks": [1], "compressor": {"id": codec}, "dtype": "<i8"}
    if text:
        held |= {"dtype": "|O", "filters": [{"id": "vlen-utf8"}]}
    names = [str(tmp_path / f"{i}.json") for i in (0, 1)]
    for name in names:
        refs = {"x/0": encoded(packed(codec, 1 << 27)), "x/.zattrs": {"_ARRAY_DIMENSIONS": ["x"]}}
        Path(name).write_text(json.dumps(document(held, **refs)))
    with traced(memory=64 << 20), pytest.raises(RefmakerError):
        refmaker.combine(names)


def test_coordinates_of_any_length(tmp_path: Path) -> None:
    names = []
    for i, extent in enumerate((10**12, 10**18)):
        held = document({"shape": [extent], "chunks": [10**6]}, **{"x/.zattrs": {"_ARRAY_DIMENSIONS": ["x"]}})
        names.append(str(tmp_path / f"{i}.json"))
        Path(names[-1]).write_text(json.dumps(held))
    with bounded(), pytest.raises(RefmakerError, match="looked at"):
        refmaker.combine(names)


def test_units_that_take_long_to_understand(tmp_path: Path) -> None:
    names = []
    for i, units in enumerate(("days since" + " " * 100_000 + "x\ny", "days since 2000-01-01" + " +1" * 100_000)):
        attributes = {"_ARRAY_DIMENSIONS": ["x"], "units": units}
        held = document(
            {"shape": [1], "chunks": [1], "dtype": "<i8"}, **{"x/.zattrs": attributes, "x/0": encoded(bytes(8))}
        )
        names.append(str(tmp_path / f"{i}.json"))
        Path(names[-1]).write_text(json.dumps(held))
    with bounded(), pytest.raises(RefmakerError):
        refmaker.combine(names)


def test_our_codec_with_the_configuration_of_somebody_else(tmp_path: Path) -> None:
    """A pipeline that makes gigabytes for an array whose chunks have eight bytes is not decoded for it."""
    from tests.hdf5.assembling import integer

    config = {"id": "refmaker_hdf5", "datatype": base64.b64encode(integer()).decode(), "chunk_shape": [1 << 28],
              "filters": [[1, 0, "deflate", [9]]], "dtype": "<i4"}  # fmt: skip
    bomb = packed("zlib", 1 << 28)
    fs = refmaker.FileSystem(document({"compressor": config}, **{"x/0": encoded(bomb)}), view="decoded")
    with traced(memory=64 << 20):
        assert fs.cat("x/0") == bomb  # as it is: the view has no chunk of that size
    for change in ({"chunk_shape": [1 << 33]}, {"chunk_shape": [1] * 40}, {"chunk_shape": [0]},
                   {"filters": [[1, 0, "d", []]] * 99},
                   {"datatype": "AAAA"}, {"dtype": "|O"}, {"filters": [[70000, 0, "", []]]}):  # fmt: skip
        with bounded(), pytest.raises(RefmakerError):
            numcodecs.get_codec({**config, **change}).decode(bomb)


def test_manifests_that_name_no_file(tmp_path: Path) -> None:
    """A target with a NUL, a directory, a device: an error, soon."""
    for url in ("a\0b", str(tmp_path), "/dev/zero", "/dev/tty", ""):
        held = document(**{"x/0": [url, 0, 8]})
        with bounded(), pytest.raises(RefmakerError):
            refmaker.FileSystem(held, timeout=5.0).cat("x/0")


def test_combining_what_comes_from_elsewhere(range_server: RangeServer, run: Run, tmp_path: Path) -> None:
    """A manifest of somebody else may not have local files read into the combined one, or named by it."""
    (tmp_path / "secret").write_bytes(b"5ec2e7..")
    array = {"shape": [1], "chunks": [1], "dtype": "<i8"}
    refs = {"x/.zattrs": {"_ARRAY_DIMENSIONS": ["x"]}, "x/0": [str(tmp_path / "secret"), 0, 8]}
    held = document(array, **refs)
    urls = [range_server.add(f"{i}.json", json.dumps(held).encode()) for i in range(3)]
    result = run("combine", *urls, "-o", tmp_path / "c.json")
    assert result.exit_code == 1
    assert "a file of this machine" in result.output
    assert not (tmp_path / "c.json").exists()
    assert run("verify", urls[0]).exit_code == 1


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with bounded(), pytest.raises(RefmakerError):
        refmaker.FileSystem(document(**{"x/0": [str(tmp_path / "pipe"), 0, 8]}), timeout=5.0).cat("x/0")


def test_gzip_members_without_end(tmp_path: Path) -> None:
    """Many empty members, one after the other: linear work."""
    path = tmp_path / "m.json.gz"
    path.write_bytes(gzip.compress(b"", mtime=0) * 20_000 + gzip.compress(json.dumps(document()).encode()))
    with bounded():
        assert set(refmaker.open_manifest(path).arrays) == {"x"}


def test_numpy_is_asked_for_no_more_than_there_is() -> None:
    """Rows of references that fill a few bytes each: columns are as long as the text."""
    refs = {f"x/{i}": ["a.nc", i, 1] for i in range(20_000)}
    text = json.dumps(document({"shape": [2**62], "chunks": [1]}, **refs)).encode()
    with bounded(memory=200 << 20):
        manifest = read_json(text, source="m")
    assert len(manifest.arrays["x"].references.cell) == 20_000
    assert int(np.max(manifest.arrays["x"].references.cell)) == 19_999
