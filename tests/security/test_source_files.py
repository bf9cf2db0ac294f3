"""Source files made to do harm: each costs little, and ends as a manifest or as an error of ours."""

from __future__ import annotations

import bz2
import io
import os
import struct
import sys
import tarfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from refmaker import scan
from refmaker.codecs.image import encode_filter_pipeline
from refmaker.errors import FormatError, RefmakerError, SourceError
from refmaker.kerchunk.json_writer import iter_json
from refmaker.model import Filter
from tests.cli.conftest import Run, run
from tests.hdf5.assembling import (
    ATTRIBUTE,
    ATTRIBUTE_INFO,
    CONTINUATION,
    FILTERS,
    LINK,
    LINK_INFO,
    SYMBOL_TABLE,
    UNDEFINED,
    VARIABLE_TEXT,
    Image,
    attribute,
    chunked_3,
    chunked_4,
    contiguous,
    dataset,
    dataspace,
    datatype,
    group,
    hard_link,
    header_1,
    integer,
    link_info,
    local_heap,
    number,
    signed,
    variable,
)
from tests.hdf5.walking import tree_of
from tests.security.bounds import bounded, traced

__all__ = ["run"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does it")


def written(tmp_path: Path, data: bytes, name: str = "hostile.h5") -> str:
    path = tmp_path / name
    path.write_bytes(data)
    return str(path)


def scanned(tmp_path: Path, data: bytes, **options: object):
    """Scan within bounds, and write the manifest."""
    path = written(tmp_path, data)
    with bounded():
        manifest = scan(path, **options)
        b"".join(iter_json(manifest))
    return manifest


def nested(depth: int, *, last: int | None = None) -> bytes:
    """Make groups, each the only member of the one before, from one header; the last one leads to number `last`."""
    place = b"\xee" * 8
    head = header_1([(LINK_INFO, link_info()), (LINK, hard_link(b"g", int.from_bytes(place, "little")))])
    at, size = head.index(place), len(head)
    image = Image()
    first = image.next
    heads = np.tile(np.frombuffer(head, "u1"), (depth, 1))
    following = first + np.arange(1, depth + 1, dtype="<u8") * size
    end = first + depth * size
    following[-1] = end if last is None else first + last * size
    heads[:, at : at + 8] = following.view("u1").reshape(depth, 8)
    image.data += heads.tobytes()
    image.place(header_1([(LINK_INFO, link_info())]))
    return image.file(first)


# Nesting and circles.


def test_groups_nested_a_million_deep():
    data = nested(1_000_000)
    with bounded(90.0, 3 << 30), pytest.raises(FormatError, match="paths that are too long"):
        tree_of(data)


@pytest.mark.parametrize("length", [1, 2, 3, 50, 1000])
def test_groups_in_circles_of_any_length(tmp_path, length):
    manifest = scanned(tmp_path, nested(length, last=0))
    assert len(manifest.groups) == length
    manifest = scanned(tmp_path, nested(length, last=length - 1))
    assert len(manifest.groups) == length


def test_datatypes_nested_a_million_deep():
    """In an attribute whose message lies in a fractal heap a datatype can be of any length."""
    from refmaker.hdf5.datatype import decode_datatype

    with bounded(), pytest.raises(FormatError, match="nested too deep"):
        decode_datatype(datatype(9, 16) * 1_000_000 + integer())


def test_compounds_that_grow_with_their_nesting():
    """Arrays of arrays of arrays: a few hundred bytes for elements of 2**64 bytes."""
    from refmaker.hdf5.datatype import decode_datatype
    from refmaker.hdf5.values import natural_dtype

    kind = integer(8)
    for _ in range(8):
        kind = datatype(10, 8, bytes([1]) + number(1 << 20, 4) + kind, version=3)
    with bounded(), pytest.raises(RefmakerError):
        natural_dtype(decode_datatype(kind))


# Structures that point to themselves.


def node(kind: int, level: int, used: int, entries: bytes) -> bytes:
    return (b"TREE" + bytes([kind, level]) + number(used, 2) + bytes(16) + entries).ljust(24 + 65 * 32, b"\0")


@pytest.mark.parametrize("level", [0, 1, 63, 255])
def test_btree_of_a_group_that_points_to_itself(level):
    image = Image()
    segment = image.place(bytes(16))
    heap = image.place(local_heap(segment, 16))
    place = image.next
    tree = image.place(node(0, level, 32, b"".join(number(0) + number(place) for _ in range(32))))
    with bounded(), pytest.raises(RefmakerError):
        tree_of(image.file(image.place(header_1([(SYMBOL_TABLE, number(tree) + number(heap))]))))


@pytest.mark.parametrize("level", [0, 1, 63, 255])
def test_btree_of_chunks_that_points_to_itself(level):
    image = Image()
    image.place(bytes(4096))
    place = image.next
    keys = b"".join(struct.pack("<IIQQ", 1, 0, i, 0) + number(place) for i in range(64))
    tree = image.place(node(1, level, 64, keys + struct.pack("<IIQQ", 0, 0, 64, 0)))
    one = image.place(dataset(dataspace([1 << 40]), integer(1), chunked_3([1], 1, tree)))
    with bounded():
        found = tree_of(image.file(image.place(group([hard_link(b"x", one)]))))
    assert (set(found.refusals) == {"/x"}) == (level > 0)


def test_btree_v2_that_points_to_itself():
    """An internal node among its own children, with as many records as numbers hold."""
    image = Image()
    place = image.next + 64
    head = signed(b"BTHD" + bytes([0, 10]) + number(512, 4) + number(24, 2) + number(4, 2) + bytes([100, 40])
                  + number(place) + number(15, 2) + number((1 << 63) - 1))  # fmt: skip
    tree = image.place(head, align=64)
    image.data += bytes(place - image.next)
    pointers = (number(place) + number(15, 1) + number(1 << 30, 4)) * 16
    image.place(signed((b"BTIN" + bytes([0, 10]) + bytes(15 * 24) + pointers)[:508].ljust(508, b"\0")))
    plain = dataset(dataspace([1 << 40], [UNDEFINED]), integer(1),
                    chunked_4([1], 1, 5, number(512, 4) + bytes([100, 40]), tree))  # fmt: skip
    with bounded():
        found = tree_of(image.file(image.place(group([hard_link(b"x", image.place(plain))]))))
    assert set(found.refusals) == {"/x"}


def test_header_that_continues_in_itself():
    image = Image()
    start = image.next
    head = header_1([(LINK_INFO, link_info()), (CONTINUATION, number(start + 16) + number(80))])
    image.place(head)
    with bounded(), pytest.raises(RefmakerError):
        tree_of(image.file(start))


# Tables and counts.


def test_attribute_tables_of_gigabytes(tmp_path):
    """Attributes of gigabytes each, and a table of 2**63 of them, in a few hundred bytes."""
    image = Image()
    tree = image.place(signed(b"BTHD" + bytes([0, 8]) + number(512, 4) + number(17, 2) + bytes(2) + bytes([100, 40])
                              + number(48) + number(0xFFFF, 2) + number((1 << 63) - 1)))  # fmt: skip
    messages = [(ATTRIBUTE, attribute(b"%d" % i, integer(8), dataspace([1 << 28]), b"")) for i in range(50)]
    messages += [(ATTRIBUTE, attribute(b"v%d" % i, VARIABLE_TEXT, dataspace([1 << 28]), b"")) for i in range(50)]
    info = bytes([0, 0]) + number(48) + number(tree)
    large, dense = image.place(group(more=messages)), image.place(group(more=[(ATTRIBUTE_INFO, info)]))
    manifest = scanned(
        tmp_path, image.file(image.place(group([hard_link(b"large", large), hard_link(b"dense", dense)])))
    )
    assert manifest.groups == {"": {}, "large": {}}
    assert set(manifest.refusals) == {"/dense"}
    assert [len(line.notes) for line in manifest.objects if line.path == "/large"] == [100]


def test_attributes_that_json_would_multiply(tmp_path):
    """Small numbers become text and objects of Python: of so many of them, none is written."""
    from tests.netcdf3.classic import build

    data = build(5, attributes=[("small", "i1", [1]), ("large", "i1", np.zeros(20_000_000, "i1"))])
    path = written(tmp_path, data, "a.nc")
    with traced():
        manifest = scan(path)
    assert manifest.groups[""] == {"small": [1]}
    assert any("large" in note for note in manifest.objects[0].notes)


def test_datasets_of_any_size_are_mapped_or_refused(tmp_path):
    """Grids of up to 10**18 chunks of which none is there, and of 2**63 elements and more."""
    image = Image()
    places = {
        b"grid": dataset(dataspace([2**53]), integer(1), chunked_3([1], 1, UNDEFINED)),
        b"long": dataset(dataspace([10**18]), integer(1), chunked_3([1], 1, UNDEFINED)),
        b"square": dataset(dataspace([10**9, 10**9]), integer(8), chunked_3([1, 1], 8, UNDEFINED)),
        b"huge": dataset(dataspace([1 << 63]), integer(1), contiguous(UNDEFINED, 0)),
        b"beyond": dataset(dataspace([1 << 62, 1 << 62]), integer(1), chunked_3([1, 1], 1, UNDEFINED)),
        b"wide": dataset(dataspace([1 << 62]), integer(8), contiguous(48, 1 << 62)),
    }
    links = [hard_link(name, image.place(data)) for name, data in places.items()]
    manifest = scanned(tmp_path, image.file(image.place(group(links))))
    assert {"grid", "square"} <= set(manifest.arrays)
    assert {"/beyond", "/long", "/wide"} <= set(manifest.refusals)
    assert set(manifest.arrays) | {path[1:] for path in manifest.refusals} == {name.decode() for name in places}


def test_listing_a_grid_without_end(tmp_path):
    """What replays such a manifest lists what is recorded, and nothing else."""
    from refmaker import FileSystem

    image = Image()
    one = image.place(dataset(dataspace([10**9, 10**9]), integer(1), chunked_3([1, 1], 1, UNDEFINED)))
    manifest = scanned(tmp_path, image.file(image.place(group([hard_link(b"x", one)]))))
    with bounded():
        fs = FileSystem(manifest)
        assert [name for name in fs.find("") if name.startswith("x/")] == ["x/.zarray", "x/.zattrs"]
        assert sorted(fs.ls("x", detail=False)) == ["x/.zarray", "x/.zattrs"]
        with pytest.raises(FileNotFoundError):
            fs.cat("x/999999999.999999999")


@pytest.mark.parametrize(("variables", "records"), [(2, 1 << 40), (100, 1 << 22)])
def test_netcdf_classic_with_records_without_end(tmp_path, variables, records):
    """More than the file holds, or so many that the columns would take gigabytes: sparse files cost nothing."""
    from tests.netcdf3.classic import Var, build

    names = [f"v{i}" for i in range(variables)]
    data = build(5, dims=[("t", 0)], variables=[Var(name, [0], "i1") for name in names], records=1)
    path = written(tmp_path, data[:4] + records.to_bytes(8, "big") + data[12:], "a.nc")
    for size in (len(data), records * variables * 4 + len(data)):
        os.truncate(path, size)
        with traced():
            manifest = scan(path)
        assert set(manifest.refusals) == {f"/{name}" for name in names}


# Bombs.


def bomb(kind: str, size: int) -> tuple[bytes, list[Filter]]:
    """Return data that a filter makes `size` zeros of, and the pipeline."""
    import numcodecs

    zeros = bytes(1 << 20)
    if kind == "deflate":
        stream = zlib.compressobj(9)
        return b"".join(stream.compress(zeros) for _ in range(size >> 20)) + stream.flush(), [
            Filter(1, "", False, (9,))
        ]
    if kind == "bzip2":
        packer = bz2.BZ2Compressor()
        return b"".join(packer.compress(zeros) for _ in range(size >> 20)) + packer.flush(), [
            Filter(307, "b", False, (9,))
        ]
    if kind == "zstd":
        return numcodecs.Zstd(1).encode(bytes(size)), [Filter(32015, "zstd", False, (1,))]
    if kind == "blosc":
        packed = numcodecs.Blosc("lz4", 9).encode(bytes(size))
        return packed, [Filter(32001, "blosc", False, (2, 2, 1, size, 5, 1, 1))]
    if kind == "lzf":
        return bytes([0xE0, 255, 0]) * 1000, [Filter(32000, "lzf", False, (4, 261, size))]
    return b"\0\0\0\x40" + bytes(1000), [Filter(4, "szip", False, (133, 32, 8, 1024))]


@pytest.mark.parametrize("kind", ["deflate", "bzip2", "zstd", "blosc", "lzf", "szip"])
@pytest.mark.parametrize("text", [False, True])
def test_chunks_that_have_to_be_decoded(tmp_path, kind, text):
    """Chunks of 256 MiB that the scan itself would decode: text, and one for which a filter was left out."""
    size = 1 << 29
    data, filters = bomb(kind, 1 << 28)
    image = Image()
    address = image.place(data)
    pipeline = encode_filter_pipeline([*filters, Filter(2, "", False, (1,))])
    keys = b"".join(
        struct.pack("<IIQQ", len(data), 0 if text else 2 * i, i * size // 32, 0) + number(address) for i in (0, 1)
    )
    tree = image.place(node(1, 0, 2, keys + struct.pack("<IIQQ", 0, 0, size // 16, 0)))
    layout, space = chunked_3([size // 32], 16, tree), dataspace([size // 16])
    kinds = VARIABLE_TEXT if text else datatype(5, 16, b"")
    ones = [dataset(space, kinds, layout, [(FILTERS, pipeline)]) for _ in range(20)]
    links = [hard_link(b"%d" % i, image.place(one)) for i, one in enumerate(ones)]
    manifest = scanned(tmp_path, image.file(image.place(group(links))))
    assert len(manifest.refusals) == 20


def test_arrays_that_together_blow_up(tmp_path, monkeypatch):
    """Each within the inline limit, all of them together a thousand times the file: what is left is refused."""
    monkeypatch.setattr("refmaker.limits.INLINED", 1 << 24)
    data, filters = bomb("deflate", 1 << 20)
    image = Image()
    address = image.place(data)
    pipeline = encode_filter_pipeline([*filters, Filter(2, "", False, (1,))])
    ones = []
    for i in range(200):
        keys = b"".join(struct.pack("<IIQQ", len(data), 2 * k, k << 20, 0) + number(address) for k in (0, 1))
        tree = image.place(node(1, 0, 2, keys + struct.pack("<IIQQ", 0, 0, 2 << 20, 0)))
        kinds = [integer(1), datatype(5, 1, b"tag%05d" % i)]
        ones.append(dataset(dataspace([2 << 20]), kinds[i % 2], chunked_3([1 << 20], 1, tree), [(FILTERS, pipeline)]))
    absent = [dataset(dataspace([1 << 10, 1000 + i]), integer(1), contiguous(UNDEFINED, 0)) for i in range(200)]
    links = [hard_link(b"%d" % i, image.place(one)) for i, one in enumerate([*ones, *absent])]
    manifest = scanned(tmp_path, image.file(image.place(group(links))))
    refused = [path for path, reason in manifest.refusals.items() if int(path[1:]) < 200]
    assert 100 < len(refused) < 200
    assert any("little room left" in " ".join(line.notes) for line in manifest.objects)
    written_out = [path for path, array in manifest.arrays.items() if int(path) >= 200 and array.references.inline]
    assert len(written_out) < 50


def test_heaps_that_blow_up(tmp_path):
    """Sequences of sequences in a collection that holds itself, from every element of a dataset."""
    image = Image()
    place = image.next
    reference = number(1000, 4) + number(place) + number(1, 4)
    collection = b"GCOL\x01\0\0\0" + number(4096) + struct.pack("<HH4xQ", 1, 1, 4000)
    image.place((collection + reference * 250).ljust(4096, b"\0"))
    elements = image.place(reference * 1000)
    kind = variable(variable(variable(integer(1))))
    one = image.place(dataset(dataspace([1000]), kind, contiguous(elements, 16_000)))
    manifest = scanned(tmp_path, image.file(image.place(group([hard_link(b"x", one)]))))
    assert set(manifest.refusals) == {"/x"}


# Names, and other files.


@pytest.mark.parametrize(
    "name", [b"..", b".", b"../../etc/x", b"/etc/x", b".zarray", b"a\x1b[2Jb", b"\xff\xfe", b"a\nb"]
)
def test_names_that_lead_elsewhere(tmp_path, name):
    """A name is a name of a member, or refused; none leads out of the manifest or of a Parquet set."""
    image = Image()
    one = image.place(dataset(dataspace([2]), integer(1), contiguous(UNDEFINED, 0)))
    path = written(tmp_path, image.file(image.place(group([hard_link(name, one), hard_link(b"sound", one)]))))
    try:
        manifest = scan(path)
    except RefmakerError:
        return
    assert all(not {"", ".", ".."} & set(array.split("/")) for array in manifest.arrays)
    out = tmp_path / "deep/deeper/x.parq"
    out.parent.mkdir(parents=True)
    manifest.to_parquet(out)
    assert {p.name for p in tmp_path.iterdir()} == {"hostile.h5", "deep"}
    assert sorted(p.name for p in out.parent.iterdir()) == ["x.parq"]


def test_names_on_a_terminal(tmp_path, run: Run):
    image = Image()
    more = [(ATTRIBUTE, attribute(b"\x1b]0;owned\x07", integer(1), dataspace([1]), b"\1"))]
    one = image.place(dataset(dataspace([2]), integer(1), contiguous(UNDEFINED, 0), more))
    links = [hard_link(b"a\x1b[2J\x9b31m\xe2\x80\xae\rb", one), hard_link(b"c\x1b[2J", 48)]
    data = image.file(image.place(group(links)))
    path = written(tmp_path, data, "x\x1b[2J.h5")
    for arguments in (["info", path], ["scan", path, "-o", tmp_path / "m.json"], ["info", tmp_path / "m.json"]):
        result = run(*arguments)
        assert result.exit_code in (0, 3)
        assert not any(c in result.output for c in "\x1b\x07\x9b\r\u202e")


SECRET = b"root:x:0:0:secret"


def secret_file(tmp_path: Path) -> Path:
    (tmp_path / "private").mkdir()
    (tmp_path / "private/passwd").write_bytes(SECRET)
    (tmp_path / "uploads").mkdir()
    return tmp_path / "private/passwd"


def leaks(manifest: object) -> bool:
    text = b"".join(iter_json(manifest))
    return SECRET in text or b"passwd" in text.partition(b'"refusals"')[0]


@pytest.mark.parametrize("way", ["absolute", "up", "link", "cwd"])
def test_raw_data_elsewhere_are_refused(tmp_path, monkeypatch, way):
    """A source that names any file of the machine as its raw data must not carry it off."""
    monkeypatch.delenv("HDF5_EXTFILE_PREFIX", raising=False)
    secret = secret_file(tmp_path)
    names = {"absolute": str(secret), "up": "../private/passwd", "link": "innocent", "cwd": "passwd"}
    (tmp_path / "uploads/innocent").symlink_to(secret)
    monkeypatch.chdir(secret.parent if way == "cwd" else tmp_path / "uploads")
    path = tmp_path / "uploads/x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("d", (len(SECRET),), "u1", external=[(names[way], 0, len(SECRET))])
    for threshold in (0, 1 << 20):
        manifest = scan(str(path), inline_threshold=threshold)
        assert "see --allow" in manifest.refusals["/d"]
        assert not leaks(manifest)
    for allowed in ({"allow": [str(secret.parent)]}, {"allow": [f"file://{secret}"]}):
        assert scan(str(path), **allowed).refusals == {}
    monkeypatch.setenv("HDF5_EXTFILE_PREFIX", str(secret.parent))
    assert scan(str(path)).refusals == {}


def test_no_other_files(tmp_path, run: Run):
    """Virtual datasets, external links and raw data: none is opened, all are refused by name."""
    secret_file(tmp_path)
    other = tmp_path / "private/other.h5"
    with h5py.File(other, "w") as file:
        file["x"] = np.arange(4)
    path = tmp_path / "uploads/x.h5"
    with h5py.File(path, "w") as file:
        file["link"] = h5py.ExternalLink(str(other), "/x")
        layout = h5py.VirtualLayout((4,), "<i8")
        layout[:] = h5py.VirtualSource(str(other), "x", (4,))
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("raw", (4,), "u1", external=[("raw.bin", 0, 4)])
        own = h5py.VirtualLayout((2,), "<i8")
        own[:] = h5py.VirtualSource(".", "own", (2,))
        file["own"] = np.arange(2)
        file.create_virtual_dataset("same", own)
    (path.parent / "raw.bin").write_bytes(b"abcd")
    assert scan(str(path)).refusals == {}
    for options in ({"other_files": False}, {"allow": []}, {"allow": [str(tmp_path / "elsewhere")]}):
        manifest = scan(str(path), **options)
        assert set(manifest.refusals) == {"/link", "/virtual", "/raw"}
        assert [target.url for target in manifest.targets] == [str(path)]
    assert scan(str(path), allow=[str(tmp_path / "private")]).refusals.keys() == {"/raw"}
    for flags in (["--no-other-files"], ["--allow", str(tmp_path / "elsewhere")]):
        assert run("scan", path, "-o", tmp_path / "m.json", *flags).exit_code == 3
    assert run("batch", path.parent, "-o", tmp_path / "out", "--no-other-files", "-q").exit_code == 3
    assert run("batch", path.parent, "-o", tmp_path / "out", "-q").exit_code == 0


def test_filters_that_no_one_knows_are_refused_by_name(tmp_path, monkeypatch):
    """A file names a filter by its number; which code that is, the reader's own plugins say."""
    monkeypatch.setenv("HDF5_PLUGIN_PATH", str(tmp_path / "none"))
    image = Image()
    data = image.place(b"abcd")
    layout = chunked_4([4], 1, 1, number(4) + number(0, 4), data, flags=2)
    pipeline = encode_filter_pipeline([Filter(30_000, "/tmp/evil.so", False, ())])
    one = image.place(dataset(dataspace([4]), integer(1), layout, [(FILTERS, pipeline)]))
    manifest = scanned(tmp_path, image.file(image.place(group([hard_link(b"x", one)]))))
    assert "30000" in manifest.refusals["/x"]


# Containers.


def tar(members: list[tarfile.TarInfo]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for member in members:
            archive.addfile(member)
    return made.getvalue()


def hard(name: str, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.LNKTYPE, target
    return info


@pytest.mark.parametrize("count", [1, 2, 40])
def test_hard_links_of_a_tar_file_in_circles(tmp_path, count):
    members = [hard(f"{i}", f"{(i + 1) % count}") for i in range(count)]
    path = written(tmp_path, tar(members), "x.tar")
    with bounded(), pytest.raises(FormatError, match="circles"):
        scan(f"tar://0::{path}")


def test_members_that_are_not_in_their_container(tmp_path):
    """Sizes beyond the file, negative ones, and extended headers that announce gigabytes."""
    for size in (b"77777777777\0", b"\x80" + bytes(3) + b"\x7f" + b"\xff" * 7, b"\xff" * 12):
        data = bytearray(tar([tarfile.TarInfo("a.nc")]))
        data[124:136] = size
        for kind in b"0xgLK":
            data[156] = kind
            data[148:156] = b" " * 8
            data[148:156] = b"%06o\0 " % sum(data[:512])
            path = written(tmp_path, bytes(data), "x.tar")
            with bounded(), pytest.raises((SourceError, FormatError)):
                scan(f"tar://a.nc::{path}")
