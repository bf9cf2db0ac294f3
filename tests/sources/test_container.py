"""Members of zip and tar files: references point into the container, whatever reads them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from refmaker.errors import FormatError, RefmakerError, SourceError, Unsupported
from refmaker.scanning.scan import scan
from refmaker.sources.container import MemberSource, split_member
from refmaker.sources.open import open_source
from tests.mapping.stock import open_array
from tests.servers import RangeServer

VALUES = np.arange(1000, dtype="<f4").reshape(50, 20)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset("x", data=VALUES, chunks=(7, 20), compression="gzip", shuffle=True)
        file["plain"] = VALUES
        file["names"] = ["a", "bb"]
    return path


def zipped(source: Path, *, compression: int = zipfile.ZIP_STORED) -> Path:
    path = source.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("before.txt", "something " * 99)
        archive.write(source, "sub/a.h5")
    return path


def tarred(source: Path, *, mode: str = "w") -> Path:
    path = source.with_suffix(".tar")
    with tarfile.open(path, mode) as archive:
        info = tarfile.TarInfo("before.txt")
        info.size = 700
        archive.addfile(info, io.BytesIO(bytes(700)))
        archive.add(source, "sub/a.h5")
        link = tarfile.TarInfo("link.h5")
        link.type, link.linkname = tarfile.LNKTYPE, "sub/a.h5"
        archive.addfile(link)
        sub = tarfile.TarInfo("sub")
        sub.type = tarfile.DIRTYPE
        archive.addfile(sub)
    return path


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("zip://a/b.nc::s3://bucket/x.zip", ("zip", "a/b.nc", "s3://bucket/x.zip")),
        ("tar://a.nc::x.tar", ("tar", "a.nc", "x.tar")),
        ("tar://a.nc::simplecache::s3://b/x.tar", ("tar", "a.nc", "simplecache::s3://b/x.tar")),
        ("zip://::x.zip", None),
        ("zip://a.nc", None),
        ("simplecache::s3://b/a.nc", None),
        ("a.nc", None),
    ],
)
def test_urls(url: str, parts: tuple[str, str, str] | None) -> None:
    assert split_member(url) == parts


@pytest.mark.parametrize("member", ["zip://sub/a.h5", "tar://sub/a.h5", "tar://link.h5"])
def test_values(source: Path, tmp_path: Path, member: str) -> None:
    container = zipped(source) if member.startswith("zip") else tarred(source)
    plain, manifest = scan(str(source)), scan(f"{member}::{container}")
    source.unlink()
    assert [target.url for target in manifest.targets] == [str(container)]
    assert manifest.targets[0].size == container.stat().st_size
    assert manifest.refusals == {}
    start = int(manifest.arrays["plain"].references.offset[0] - plain.arrays["plain"].references.offset[0])
    assert container.read_bytes()[start + 512 : start + 516] == b"\x89HDF"
    for name in ("x", "plain"):
        np.testing.assert_array_equal(open_array(manifest, tmp_path, name)[...], VALUES)
    assert open_array(manifest, tmp_path, "names")[...].tolist() == ["a", "bb"]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_over_the_network(source: Path, kind: str, range_server: RangeServer) -> None:
    container = zipped(source) if kind == "zip" else tarred(source)
    url = range_server.add(container.name, container.read_bytes())
    manifest = scan(f"{kind}://sub/a.h5::{url}")
    local = scan(f"{kind}://sub/a.h5::{container}")
    assert manifest.targets[0].url == url
    for name, array in local.arrays.items():
        np.testing.assert_array_equal(manifest.arrays[name].references.offset, array.references.offset)


def test_compressed_members_are_refused(source: Path) -> None:
    with pytest.raises(Unsupported, match="compressed"):
        scan(f"zip://sub/a.h5::{zipped(source, compression=zipfile.ZIP_DEFLATED)}")
    with pytest.raises(FormatError, match="tar"):
        scan(f"tar://sub/a.h5::{tarred(source, mode='w:gz')}")


@pytest.mark.parametrize("url", ["zip://no.h5::{zip}", "tar://no.h5::{tar}", "zip://a::{tar}", "tar://a::{zip}"])
def test_what_is_not_there(source: Path, url: str) -> None:
    with pytest.raises(RefmakerError):
        scan(url.format(zip=zipped(source), tar=tarred(source)))


def test_directories_and_absent_containers(source: Path, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="no file"):
        scan(f"tar://sub::{tarred(source)}")
    with pytest.raises(SourceError):
        scan(f"zip://a.h5::{tmp_path / 'none.zip'}")


def test_a_member_ends_where_it_ends(source: Path) -> None:
    """What the file says lies behind its end is not taken from the next member."""
    whole = source.read_bytes()
    container = source.with_suffix(".zip")
    with zipfile.ZipFile(container, "w") as archive:
        archive.writestr("a.h5", whole[:-200])
        archive.writestr("b.h5", whole)
    cut = source.with_name("cut.h5")
    cut.write_bytes(whole[:-200])
    outcomes = []
    for url in (str(cut), f"zip://a.h5::{container}"):
        try:
            manifest = scan(url)
            outcomes.append((sorted(manifest.refusals), sorted(manifest.arrays)))
        except RefmakerError as error:
            outcomes.append((type(error).__name__, error.message))
    assert outcomes[0] == outcomes[1]
    member = open_source(f"zip://a.h5::{container}")
    assert isinstance(member, MemberSource)
    assert member.window.size == len(whole) - 200
    with pytest.raises(RefmakerError, match="end of the member"):
        member.window.at(member.window.size - 4, 8)
    with pytest.raises(RefmakerError, match="end of the member"):
        member.window.rows(np.array([0, member.window.size - 4], "u8"), 8)


def test_other_files_are_not_looked_for_beside_the_container(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    VALUES.tofile(tmp_path / "raw.bin")
    with h5py.File(path, "w") as file:
        file.create_dataset("raw", VALUES.shape, VALUES.dtype, external=[("raw.bin", 0, VALUES.nbytes)])
        file["x"] = VALUES
    container = tmp_path / "a.zip"
    with zipfile.ZipFile(container, "w") as archive:
        archive.write(path, "a.h5")
    manifest = scan(f"zip://a.h5::{container}")
    assert "container" in manifest.refusals["/raw"]
    assert list(manifest.arrays) == ["x"]
