"""Trees of files that libhdf5 writes, compared with what h5py reads: objects, links, datatypes, attributes."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from h5py import h5p, h5s, h5t

from refmaker.hdf5.values import natural_dtype
from refmaker.model import Chunked, Compact, Contiguous, Tree
from tests.hdf5.libhdf5 import set_cache_image, set_sym_k, share_messages
from tests.hdf5.making import LIBVERS, filled, low_level, made, opened
from tests.hdf5.walking import assert_fields_are, assert_value_is, plain, tree_in_rounds, tree_of

NEW = ("v110", "latest")
EVERY = ("earliest", "v108", "v110", "latest")


def check(data: bytes, *, page_bits: int = 9) -> Tree:
    """Compare a tree with h5py's, and the walk over pages with the one over memory."""
    tree = tree_of(data)
    with opened(data) as file:
        assert_objects_are(tree, file)
        for path in tree.groups:
            assert_attributes_are(tree.groups[path].attributes, file[path.encode("utf-8", "surrogateescape")])
        for path, dataset in tree.datasets.items():
            other = file[path.encode("utf-8", "surrogateescape")]
            assert_attributes_are(dataset.attributes, other)
            assert_dataset_is(dataset, other, data)
    paged, _ = tree_in_rounds(data, page_bits)
    assert plain(paged) == plain(tree)
    return tree


def assert_objects_are(tree: Tree, file: h5py.File) -> None:
    kinds = {h5py.Group: "group", h5py.Dataset: "dataset", h5py.Datatype: "type"}
    wanted = {}
    file.visititems(lambda name, found: wanted.setdefault(f"/{name}", kinds[type(found)]) and None)
    got = (
        dict.fromkeys(tree.groups, "group")
        | dict.fromkeys(tree.datasets, "dataset")
        | dict.fromkeys(tree.types, "type")
    )
    assert got.pop("/") == "group"
    assert got == wanted


def assert_attributes_are(attributes: dict, other: h5py.HLObject) -> None:
    names = [h5py.h5a.open(other.id, index=i).name for i in range(len(other.attrs))]
    assert sorted(attributes) == sorted(n.decode("utf-8", "surrogateescape") for n in names)
    for name, attribute in attributes.items():
        assert_value_is(attribute, other.attrs[name.encode("utf-8", "surrogateescape")])


def assert_dataset_is(dataset, other: h5py.Dataset, data: bytes) -> None:
    if other.shape is None:
        assert dataset.dataspace.kind == "null"
        return
    assert dataset.dataspace.shape == other.shape
    assert dataset.dataspace.max_shape == other.maxshape
    if dataset.values is not None:
        values = dataset.values.ravel().tolist()
        others = other[()].ravel().tolist() if other.shape else [other[()]]
        for got, wanted in zip(values, others, strict=True):
            if isinstance(wanted, np.ndarray):
                assert np.array_equal(got, wanted)
            else:
                assert (got or b"") == wanted
        return
    dtype = natural_dtype(dataset.datatype)
    assert dtype.itemsize == other.dtype.itemsize
    shape = dataset.dataspace.shape
    if isinstance(dataset.storage, Compact):
        raw = np.frombuffer(dataset.storage.data, "u1")
    elif isinstance(dataset.storage, Contiguous) and dataset.storage.offset is not None:
        raw = np.frombuffer(data, "u1", dataset.storage.size, dataset.storage.offset)
    else:
        return
    values = np.asarray(other[()])
    if values.dtype.kind != "O":
        assert_fields_are(raw.view(dtype.base).reshape(shape + dtype.shape), values)


# Storage.


@pytest.mark.parametrize("libver", LIBVERS)
@pytest.mark.parametrize("userblock", [0, 512, 1024, 2048])
def test_storage(libver, userblock):
    def build(file):
        filled(low_level(file, "compact", (7,), layout=h5py.h5d.COMPACT))
        filled(low_level(file, "contiguous", (7, 3)))
        low_level(file, "unallocated", (7, 3))
        low_level(file, "early", (7, 3), early=True)
        low_level(file, "compact_empty", (0,), layout=h5py.h5d.COMPACT)
        file["scalar"] = 5.5
        file["empty"] = np.zeros((0, 4))
        file["null"] = h5py.Empty("<f8")

    tree = check(made(build, libver=libver, userblock=userblock))
    assert isinstance(tree.datasets["/compact"].storage, Compact)
    assert tree.datasets["/unallocated"].storage == Contiguous(None, 84)
    assert tree.datasets["/empty"].storage == Contiguous(None, 0)
    assert tree.datasets["/early"].storage.offset is not None
    assert tree.refusals == {}


@pytest.mark.parametrize(("offsets", "lengths"), [(4, 4), (4, 8), (8, 4), (2, 2), (2, 8), (8, 2)])
@pytest.mark.parametrize("libver", ["earliest", "v108", "v110", "latest"])
def test_widths(offsets, lengths, libver):
    if lengths == 2 and libver != "earliest":
        pytest.skip("libhdf5 does not read the heaps that it writes so")

    def build(file):
        filled(low_level(file, "contiguous", (7, 3)))
        filled(low_level(file, "compact", (7,), layout=h5py.h5d.COMPACT))
        file["text"] = ["a", "", "ccc"]
        file["soft"] = h5py.SoftLink("/contiguous")
        for i in range(12):
            file.create_group(f"group/{i}").attrs["n"] = np.arange(i)
        for i in range(12):
            file["text"].attrs[f"a{i}"] = "x" * i
        file["text"].attrs["reference"] = file["contiguous"].ref

    tree = check(made(build, libver=libver, offsets=offsets, lengths=lengths))
    assert tree.links["/soft"].first == "/contiguous"
    reference = int(tree.datasets["/text"].attributes["reference"].value)
    assert reference == tree.datasets["/contiguous"].address


def test_addresses_beyond_4_gib(tmp_path):
    path = tmp_path / "sparse.h5"
    with h5py.File(path, "w", libver="v110") as file:
        low_level(
            file, "hole", (5 << 30,), "u1", early=True, options=lambda p: p.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        )
        file.flush()
        filled(file.create_dataset("far", (10,), "<i4", chunks=(3,), maxshape=(None,)))
        file["far"].attrs["here"] = file["hole"].ref
    from refmaker.scanning.detect import read_tree

    tree = read_tree(str(path))
    index = tree.datasets["/far"].storage.index
    assert (index.offset > 5 << 30).all()
    with h5py.File(path) as file:
        for cell, offset in enumerate(index.offset.tolist()):
            assert file["far"].id.get_chunk_info_by_coord((3 * cell,)).byte_offset == offset
    assert int(tree.datasets["/far"].attributes["here"].value) == tree.datasets["/hole"].address


# Datatypes.

DTYPES = [
    *("<i1", "<i2", "<i4", "<i8", "<u1", "<u2", "<u4", "<u8", ">i2", ">u4", ">i8"),
    *("<f2", "<f4", "<f8", ">f2", ">f4", ">f8", "<c8", ">c16", "S1", "S17", "V5", "?"),
    [("a", "<i4"), ("b", ">f8")],
    [("a", "<i4", (2, 3)), ("b", [("c", "S3"), ("d", "<u2", (2,))])],
    np.dtype({"names": ["x", "y"], "formats": ["<i2", "<f8"], "offsets": [3, 16], "itemsize": 40}),
    np.dtype(("<i4", (2, 3))),
    np.dtype(("<i4", (1,))),
]


@pytest.mark.parametrize("libver", EVERY)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_datatypes(dtype, libver):
    def build(file):
        raw = np.arange(600, dtype="u1")
        kind = np.dtype(dtype)
        values = np.frombuffer(raw.tobytes()[: kind.itemsize * 4], kind.base).reshape((4, *kind.shape))
        if kind.kind == "b":
            values = np.array([True, False, True, True])
        dataset = file.create_dataset("x", (4,), kind)
        dataset[...] = values
        dataset.attrs.create("whole", values, values.shape, kind)
        file.create_dataset("chunked", (4,), kind, chunks=(3,))[...] = values
        dataset.attrs.create("scalar", values[0], kind.shape, kind)

    tree = check(made(build, libver=libver))
    assert isinstance(tree.datasets["/chunked"].storage, Chunked)


def test_arrays_of_arrays():
    kind = h5t.array_create(h5t.array_create(h5t.STD_I16BE, (3,)), (2,))

    def build(file):
        space = h5s.create_simple((2,))
        attribute = h5py.h5a.create(file.id, b"a", kind, space)
        attribute.write(np.arange(12, dtype=">i2").reshape(2, 2, 3), kind)

    value = tree_of(made(build, libver="latest")).groups["/"].attributes["a"].value
    assert value.tolist() == np.arange(12).reshape(2, 2, 3).tolist()


@pytest.mark.parametrize("libver", EVERY)
def test_enumerations(libver):
    def build(file):
        for name, base in (("little", "<i2"), ("big", ">u4"), ("bytes", "i1")):
            kind = h5py.enum_dtype({"RED": 0, "GREEN": 1, "BLUE": 42}, basetype=base)
            file.create_dataset(name, (3,), kind)[...] = [0, 42, 1]
            file[name].attrs.create("a", [42, 1], dtype=kind)
        file.attrs["flag"] = True
        file.attrs["flags"] = [True, False]

    tree = check(made(build, libver=libver))
    assert tree.datasets["/big"].datatype.names == ("BLUE", "GREEN", "RED")
    assert tree.datasets["/big"].datatype.values == (42, 1, 0)
    assert tree.groups["/"].attributes["flags"].value.tolist() == [True, False]
    assert tree.groups["/"].attributes["flags"].value.dtype == bool


def test_complex_numbers_of_hdf5_2():
    if not hasattr(h5t, "complex_create") and not hasattr(h5t, "COMPLEX_IEEE_F32LE"):
        pytest.skip("this h5py does not write them")
    kinds = {"little": h5t.COMPLEX_IEEE_F32LE, "big": h5t.COMPLEX_IEEE_F64BE}

    def build(file):
        for name, kind in kinds.items():
            low_level(file, name, (3,), kind, early=True)

    tree = tree_of(made(build, libver="latest"))
    assert natural_dtype(tree.datasets["/little"].datatype) == np.dtype("<c8")
    assert natural_dtype(tree.datasets["/big"].datatype) == np.dtype(">c16")


@pytest.mark.parametrize("libver", EVERY)
def test_strings(libver):
    def build(file):
        for pad in (h5t.STR_NULLTERM, h5t.STR_NULLPAD, h5t.STR_SPACEPAD):
            for charset in (h5t.CSET_ASCII, h5t.CSET_UTF8):
                kind = h5t.C_S1.copy()
                kind.set_size(6)
                kind.set_strpad(pad)
                kind.set_cset(charset)
                fixed = low_level(file, f"fixed{pad}{charset}", (2,), kind).id
                fixed.write(h5s.ALL, h5s.ALL, np.array([b"abc", b"de"], "S6"), kind)
        for charset in ("ascii", "utf-8"):
            file.create_dataset(charset, (3,), h5py.string_dtype(charset))[...] = [b"abc", b"", b"longer"]
        file.attrs["text"] = "ünï"
        file.attrs["texts"] = ["a", "", "ccc"]
        file.attrs["bytes"] = np.bytes_(b"abc")
        file.attrs["undecodable"] = b"\xff\xfe"
        file.attrs["empty"] = ""
        file.attrs["none"] = h5py.Empty("S10")

    tree = check(made(build, libver=libver))
    assert tree.groups["/"].attributes["texts"].value.tolist() in ([b"a", None, b"ccc"], [b"a", b"", b"ccc"])


@pytest.mark.parametrize("libver", EVERY)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunks": (4, 3)},
        {"chunks": (4, 3), "compression": "gzip"},
        {"chunks": (4, 3), "compression": "gzip", "shuffle": True},
        {"chunks": (4, 3), "maxshape": (None, 7)},
        {"chunks": (4, 3), "maxshape": (None, None), "compression": "gzip"},
    ],
)
def test_variable_length(libver, options):
    def build(file):
        text = file.create_dataset("text", (10, 7), h5py.string_dtype(), **options)
        text[...] = np.array([f"row {i}" * (i % 5) for i in range(70)], object).reshape(10, 7)
        ragged = file.create_dataset("ragged", (10, 7), h5py.vlen_dtype("<i2"), **options)
        for i in range(10):
            ragged[i, i % 7] = np.arange(i, dtype="<i2")
        file.create_dataset("absent", (10, 7), h5py.string_dtype(), **options)
        some = file.create_dataset("some", (10, 7), h5py.string_dtype(), **options)
        some[9, 1] = "here"
        file.attrs.create("ragged", ragged[5], dtype=h5py.vlen_dtype("<i2"), shape=(7,))

    check(made(build, libver=libver))


def test_variable_length_fill_values():
    """Elements that were never written are the fill value. (libhdf5 itself cannot read some of it without writing.)"""

    def build(file):
        kind = h5py.string_dtype()
        file.create_dataset("contiguous", (2,), kind, fillvalue="nothing")
        file.create_dataset("chunked", (5,), kind, fillvalue="nothing", chunks=(2,))[3] = "something"
        file.create_dataset("absent", (2,), kind, fillvalue="nothing", chunks=(2,))

    tree = tree_of(made(build))
    nothing = b"nothing"
    assert tree.datasets["/contiguous"].values.tolist() == tree.datasets["/absent"].values.tolist() == [nothing] * 2
    assert tree.datasets["/chunked"].values.tolist() == [nothing, nothing, nothing, b"something", nothing]


@pytest.mark.parametrize("libver", LIBVERS)
def test_fill_values(libver):
    def build(file):
        file.create_dataset("default", (4,), "<i4", chunks=(2,))
        file.create_dataset("given", (4,), ">f8", chunks=(2,), fillvalue=-9.5)
        kind = np.dtype([("a", "<i2"), ("b", "<f4")])
        file.create_dataset("compound", (4,), kind, fillvalue=np.array((3, 2.5), kind)[()])
        low_level(file, "never", (4,), options=lambda p: p.set_fill_time(h5py.h5d.FILL_TIME_NEVER))
        low_level(file, "early", (4,), options=lambda p: p.set_fill_time(h5py.h5d.FILL_TIME_ALLOC))

    tree = check(made(build, libver=libver))
    assert tree.datasets["/default"].fill.value == b""
    assert tree.datasets["/given"].fill.value == np.array(-9.5, ">f8").tobytes()
    assert tree.datasets["/compound"].fill.value == b"\x03\x00\x00\x00\x20\x40"
    assert [tree.datasets[f"/{name}"].fill.write_time for name in ("default", "never", "early")] == [2, 1, 0]


@pytest.mark.parametrize("libver", EVERY)
def test_filters(libver):
    def build(file):
        file.create_dataset("deflate", (40,), "<i4", chunks=(8,), compression="gzip", compression_opts=7, shuffle=True)
        file.create_dataset("lzf", (40,), "<i4", chunks=(8,), compression="lzf", fletcher32=True)
        file.create_dataset("scaled", (40,), "<i4", chunks=(8,), scaleoffset=3)
        # Client data of odd number, and an optional filter.
        low_level(file, "named", (4,), chunks=(2,), options=lambda p: p.set_filter(1, 1, (9,)))

    tree = check(made(build, libver=libver))
    for path, dataset in tree.datasets.items():
        with opened(made(build, libver=libver)) as file:
            creation = file[path].id.get_create_plist()
            for i, found in enumerate(dataset.filters):
                number, flags, values, name = creation.get_filter(i)
                assert (found.id, found.optional, found.client_data) == (number, bool(flags & 1), values)
                assert found.name.encode() in (name, b"")
            assert creation.get_nfilters() == len(dataset.filters)


@pytest.mark.parametrize("libver", EVERY)
def test_committed_datatypes(libver):
    def build(file):
        file["kind"] = np.dtype([("a", "<i4"), ("b", "<f8")])
        file["group/number"] = np.dtype(">u2")
        file.create_dataset("x", (3,), file["kind"])[...] = np.ones(3, file["kind"].dtype)
        file.create_dataset("y", (3,), file["group/number"])[...] = [1, 2, 3]
        file["x"].attrs.create("attribute", np.array([7, 8], ">u2"), dtype=file["group/number"])
        file["kind"].attrs["about"] = "a type"

    tree = check(made(build, libver=libver))
    assert sorted(tree.types) == ["/group/number", "/kind"]
    assert tree.definitions["/kind"] == tree.datasets["/x"].datatype


# Groups and links.


@pytest.mark.parametrize("libver", LIBVERS)
@pytest.mark.parametrize("count", [0, 1, 8, 9, 33, 400])
@pytest.mark.parametrize("track_order", [False, True])
def test_groups(libver, count, track_order):
    """Compact and dense links, symbol tables of several levels; children in the order they were made, if tracked."""

    names = [f"m{i * 7919 % 1000:03}" for i in range(count)]

    def build(file):
        group = file.create_group("g", track_order=track_order)
        for name in names:
            group[name] = h5py.SoftLink("/target")
        group.create_group("last")
        file.create_group("target")

    tree = check(made(build, libver=libver), page_bits=10)
    wanted = [*names, "last"]
    assert tree.groups["/g"].children == (wanted if track_order else sorted(wanted))
    assert {n for n, link in tree.links.items() if link.first == "/target"} == {f"/g/{n}" for n in names}


@pytest.mark.parametrize("libver", ["earliest", "v110"])
def test_thousands_of_links(libver):
    """Several depths of the B-tree and of the heap's indirect blocks."""

    def build(file):
        group = file.create_group("g")
        hard = file.create_group("hard")
        for i in range(5000):
            group.id.links.create_soft(b"a rather long name, so that there are many blocks %d" % i, b"/hard")
        assert hard

    data = made(build, libver=libver)
    tree = tree_of(data)
    assert len(tree.links) == 5000
    assert tree.groups["/g"].children == sorted(
        f"a rather long name, so that there are many blocks {i}" for i in range(5000)
    )
    paged, _ = tree_in_rounds(data, 12)
    assert plain(paged) == plain(tree)


@pytest.mark.parametrize("internal", [2, 16, 60])
@pytest.mark.parametrize("leaf", [1, 4, 50])
@pytest.mark.parametrize("shared", [False, True])
def test_node_sizes_of_groups(internal, leaf, shared):
    """K values of groups stand in the superblock (version 0), or in its extension (version 2)."""

    def properties(creation):
        set_sym_k(creation, internal, leaf)
        if shared:
            share_messages(creation, (2, 50))

    def build(file):
        for i in range(200):
            file.create_group(f"g{i}")

    data = made(build, fcpl=properties)
    assert data[8] == (2 if shared else 0)
    check(data, page_bits=12)


@pytest.mark.parametrize("libver", EVERY)
def test_links(libver):
    def build(file):
        filled(low_level(file, "b/data", (3,)) if "b" in file else low_level(file.create_group("b"), "data", (3,)))
        file["a"] = file["b/data"]
        file["b/loop"] = file["b"]
        file["b/up"] = file["/"]
        file["soft"] = h5py.SoftLink("/b/data")
        file["b/relative"] = h5py.SoftLink("data")
        file["b/dots"] = h5py.SoftLink("./data")
        file["through"] = h5py.SoftLink("chain/data")
        file["chain"] = h5py.SoftLink("b")
        file["dangling"] = h5py.SoftLink("/nothing/here")
        file["self"] = h5py.SoftLink("self")
        file["ping"] = h5py.SoftLink("pong")
        file["pong"] = h5py.SoftLink("ping/x")
        file["outside"] = h5py.ExternalLink("other.h5", "/there")

    tree = check(made(build, libver=libver))
    assert list(tree.datasets) == ["/a"]
    hard = {path: link.first for path, link in tree.links.items() if link.kind == "hard"}
    assert hard == {"/b/data": "/a", "/b/loop": "/b", "/b/up": "/"}
    soft = {path: (link.first, link.object_kind) for path, link in tree.links.items() if link.kind == "soft"}
    assert soft == {
        "/soft": ("/a", "dataset"),
        "/b/relative": ("/a", "dataset"),
        "/b/dots": ("/a", "dataset"),
        "/through": ("/a", "dataset"),
        "/chain": ("/b", "group"),
    }
    assert set(tree.refusals) == {"/dangling", "/self", "/ping", "/pong", "/outside"}
    assert all(refusal.kind == "link" for refusal in tree.refusals.values())
    assert "'other.h5'" in tree.refusals["/outside"].reason


NAMES = ["ünï", "日本", "a.b", ".", "..", "..a", " lead", "trail ", "100%", "a\tb", "a\\b", "'\"", ".zattrs", "x" * 300]


@pytest.mark.parametrize("libver", EVERY)
def test_names(libver):
    odd = [b"\xff\xfe", b"caf\xe9"]

    def build(file):
        for name in NAMES:
            if name != ".":
                file.id.links.create_soft(name.encode(), b"/x")
        for name in odd:
            file.id.links.create_soft(name, b"/x")
        group = file.create_group("x")
        for name in [*NAMES, "a/b"]:
            group.attrs[name] = name
        for name in odd:
            group.attrs.create(name, 1)

    tree = check(made(build, libver=libver))
    wanted = {*NAMES, *(n.decode("utf-8", "surrogateescape") for n in odd)} - {"."}
    assert {path[1:] for path in tree.links} == wanted


def test_deep_nesting():
    def build(file):
        group = file
        for i in range(300):
            group = group.create_group(f"g{i}")
        group["x"] = 1

    tree = check(made(build, libver="latest"), page_bits=12)
    assert len(tree.groups) == 301


# Attributes.


@pytest.mark.parametrize("libver", LIBVERS)
@pytest.mark.parametrize("track_order", [False, True])
@pytest.mark.parametrize("count", [1, 8, 9, 300])
def test_many_attributes(libver, track_order, count):
    names = [f"a{i * 7919 % 1000:03}" for i in range(count)]

    def build(file):
        group = file.create_group("g", track_order=track_order)
        for i, name in enumerate(names):
            group.attrs[name] = np.arange(i % 50)

    tree = check(made(build, libver=libver), page_bits=10)
    if track_order:
        assert list(tree.groups["/g"].attributes) == names


@pytest.mark.parametrize("libver", ["v108", "v110", "latest"])
def test_large_attributes(libver):
    """Attributes beyond 64 KiB are huge objects of a fractal heap."""

    def build(file):
        file.attrs["large"] = np.arange(9000, dtype="<f8")
        file.attrs["larger"] = np.arange(90000, dtype="<i2").reshape(300, 300)
        file.attrs["small"] = 1
        file.attrs["middle"] = np.arange(7000, dtype="<f8")

    check(made(build, libver=libver))


@pytest.mark.parametrize("libver", EVERY)
def test_null_and_empty_attributes(libver):
    def build(file):
        file.attrs["null"] = h5py.Empty("<f4")
        file.attrs["empty"] = np.zeros((0, 3))
        file.attrs.create("shaped", np.arange(24), (2, 3, 4), "<i2")
        space = h5s.create_simple((3,), (h5s.UNLIMITED,))
        h5py.h5a.create(file.id, b"never written", h5t.STD_I32LE, space)

    check(made(build, libver=libver))


@pytest.mark.parametrize("libver", EVERY)
def test_references(libver):
    def build(file):
        file.create_group("g")
        file["x"] = [1, 2, 3]
        file.attrs["one"] = file["g"].ref
        file.attrs.create("two", [file["x"].ref, file["g"].ref], dtype=h5py.ref_dtype)
        file.create_dataset("r", (3,), h5py.ref_dtype)[0] = file["x"].ref
        kind = np.dtype([("dataset", h5py.ref_dtype), ("index", "<i4")])
        file["x"].attrs.create("list", np.array([(file["g"].ref, 2)], kind), dtype=kind)
        ragged = np.empty(2, object)
        ragged[0], ragged[1] = np.array([file["g"].ref], h5py.ref_dtype), np.array([], h5py.ref_dtype)
        file["x"].attrs.create("ragged", ragged, (2,), h5py.vlen_dtype(h5py.ref_dtype))

    data = made(build, libver=libver, userblock=512)
    tree = tree_of(data)
    x, g = tree.datasets["/x"].address, tree.groups["/g"].address
    attributes = tree.groups["/"].attributes
    assert (int(attributes["one"].value), attributes["two"].value.tolist()) == (g, [x, g])
    attributes = tree.datasets["/x"].attributes
    assert [v.tolist() for v in attributes["ragged"].value] == [[g], []]
    assert attributes["list"].value["dataset"].tolist() == [g]
    for address in (x, g):
        assert data[address : address + 4] == b"OHDR" or data[address] == 1


# What the file as a whole can be.


@pytest.mark.parametrize("list_max", [0, 2, 50])
def test_shared_messages(list_max):
    """Dataspaces, datatypes, fill values, pipelines and attributes kept once, in lists and in B-trees."""

    def build(file):
        for i in range(30):
            options = {"chunks": (4, 5), "compression": "gzip", "fillvalue": 7 + i % 2}
            dataset = file.create_dataset(
                f"d{i}", (10, 20), [("a", "<i4"), ("b", f"S{i % 3 + 1}")][:1][0][1], **options
            )
            filled(dataset)
            dataset.attrs["units"] = np.bytes_(b"metres per second, or so")
            dataset.attrs["range"] = np.arange(i % 4 + 30)

    data = made(build, fcpl=lambda p: share_messages(p, (0x1F, 10), list_max=list_max, list_min=max(list_max - 10, 0)))
    assert b"SMTB" in data
    check(data)


def test_shared_messages_in_several_indexes():
    def build(file):
        for i in range(100):
            dataset = file.create_dataset(f"d{i}", (10, 20 + i), "<i4", chunks=(4, 5), compression="gzip")
            for j in range(12):
                dataset.attrs[f"a{j}"] = np.arange(i % 7 + 10)

    data = made(
        build,
        libver="v110",
        fcpl=lambda p: share_messages(p, (0x2 | 0x1, 5), (0x10, 5), (0x8, 5), list_max=20, list_min=10),
    )
    check(data)


def test_cache_image(tmp_path):
    path = tmp_path / "image.h5"
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_LATEST, h5py.h5f.LIBVER_LATEST)
    set_cache_image(access)
    with h5py.File(h5py.h5f.create(str(path).encode(), h5py.h5f.ACC_TRUNC, None, access)) as file:
        filled(file.create_dataset("x", (10, 10), "<i4", chunks=(3, 4), compression="gzip"))
        for i in range(40):
            file.create_group(f"g/{i}").attrs["text"] = "abc"
    data = path.read_bytes()
    assert b"MDCI" in data
    tree = tree_of(data)
    assert len(tree.groups) == 42
    assert {g.attributes["text"].value.item() for p, g in tree.groups.items() if p.count("/") == 2} == {b"abc"}
    assert tree.datasets["/x"].storage.index.cell.tolist() == list(range(12))
    assert plain(tree_in_rounds(data, 9)[0]) == plain(tree)


@pytest.mark.parametrize("strategy", [0, 1, 2, 3])
@pytest.mark.parametrize("persist", [False, True])
def test_file_space(strategy, persist):
    """Free-space managers and paged aggregation add messages to the superblock extension."""

    def build(file):
        filled(file.create_dataset("x", (10, 10), "<i4", chunks=(3, 4)))
        file.create_group("g")
        del file["g"]

    check(made(build, libver="v110", fcpl=lambda p: p.set_file_space_strategy(strategy, persist, 1)))


def test_times_and_phase_changes():
    """Object headers with all their optional fields."""

    def build(file):
        creation = h5p.create(h5p.DATASET_CREATE)
        creation.set_obj_track_times(True)
        creation.set_attr_phase_change(3, 1)
        creation.set_attr_creation_order(h5p.CRT_ORDER_TRACKED | h5p.CRT_ORDER_INDEXED)
        h5py.h5d.create(file.id, b"x", h5t.STD_I32LE, h5s.create_simple((3,)), creation)
        for i in range(10):
            file["x"].attrs[f"a{9 - i}"] = i

    tree = check(made(build, libver="latest"))
    assert list(tree.datasets["/x"].attributes) == [f"a{9 - i}" for i in range(10)]


@pytest.mark.parametrize("libver", EVERY)
def test_headers_that_grew(libver):
    """Attributes added later go to continuation blocks, deleted ones leave gaps."""

    def build(file):
        for i in range(3):
            file.create_dataset(f"d{i}", (5,), "<i4")
        for size in (1, 40, 300, 2, 1000):
            for i in range(3):
                file[f"d{i}"].attrs[f"a{size}"] = np.arange(size)
            del file["d1"].attrs[f"a{size}"]
            file["d2"].attrs["again"] = np.arange(size)

    check(made(build, libver=libver))


def test_external_files(tmp_path):
    def build(file):
        creation = h5p.create(h5p.DATASET_CREATE)
        creation.set_external(b"first.raw", 8, 40)
        creation.set_external(b"dir/second.raw", 0, h5py.h5f.UNLIMITED)
        h5py.h5d.create(file.id, b"x", h5t.STD_I32LE, h5s.create_simple((20,)), creation)

    storage = tree_of(made(build)).datasets["/x"].storage
    assert [(s.name, s.offset, s.size) for s in storage.segments] == [("first.raw", 8, 40), ("dir/second.raw", 0, None)]


def test_virtual_datasets():
    def build(file):
        layout = h5py.VirtualLayout((4, 3), "<i4")
        layout[0] = h5py.VirtualSource("other.h5", "x", (3,))
        file.create_virtual_dataset("v", layout)

    data = made(build, libver="v110", userblock=512)
    storage = tree_of(data).datasets["/v"].storage
    assert data[storage.collection : storage.collection + 4] == b"GCOL"
