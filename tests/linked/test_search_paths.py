from __future__ import annotations

from pathlib import Path

import pytest

from refmaker.errors import Unsupported
from refmaker.linked.search_paths import search_paths


@pytest.fixture(autouse=True)
def _bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HDF5_VDS_PREFIX", "HDF5_EXT_PREFIX", "HDF5_EXTFILE_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("url", "name", "place"),
    [
        ("https://host/dir/v.h5", "a.h5", "https://host/dir/a.h5"),
        ("https://host/dir/v.h5", "./sub/a.h5", "https://host/dir/sub/a.h5"),
        ("https://host/dir/v.h5", "/data/2020/a.h5", "https://host/dir/a.h5"),
        ("https://host/dir/v.h5?token=1", "a.h5", "https://host/dir/a.h5?token=1"),
        ("https://host/dir/v.h5", "a?b#c%20d.h5", "https://host/dir/a%3Fb%23c%2520d.h5"),
        ("s3://bucket/dir/v.h5", "a?.h5", "s3://bucket/dir/a?.h5"),
        ("s3://bucket/v.h5", "a.h5", "s3://bucket/a.h5"),
        ("memory://v.h5", "a.h5", "memory://a.h5"),
        ("simplecache::s3://bucket/dir/v.h5", "a.h5", "simplecache::s3://bucket/dir/a.h5"),
        ("zip://dir/v.h5::s3://bucket/x.zip", "a.h5", "zip://dir/a.h5::s3://bucket/x.zip"),
    ],
)
def test_remote_files_are_siblings(url: str, name: str, place: str) -> None:
    for kind in ("virtual", "link", "raw"):
        assert search_paths(url, name, kind, local=False) == [place]


@pytest.mark.parametrize(
    "name", ["../a.h5", "sub/../../a.h5", "http://other/a.h5", "a::b", "file:///etc/passwd", "", "/", ".", "..\\a.h5"]
)
def test_remote_files_lead_nowhere_else(name: str) -> None:
    with pytest.raises(Unsupported, match="not in the directory"):
        search_paths("https://host/dir/v.h5", name, "virtual", local=False)


def test_hosts_are_no_directories() -> None:
    with pytest.raises(Unsupported, match="beside"):
        search_paths("https://host", "a.h5", "virtual", local=False)


def test_local_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of H5F_prefix_open_file: prefixes, the file's directory, the current one, that behind symbolic links."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "v.h5").touch()
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "v.h5").symlink_to(tmp_path / "real" / "v.h5")
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    url = str(tmp_path / "link" / "v.h5")
    common = [str(tmp_path / folder / "a.h5") for folder in ("link", "cwd", "real")]
    assert search_paths(url, "a.h5", "link", local=True) == common
    assert search_paths(url, "/far/a.h5", "virtual", local=True) == ["/far/a.h5", *common]
    monkeypatch.setenv("HDF5_EXT_PREFIX", "/one:/two")
    assert search_paths(url, "a.h5", "link", local=True) == ["/one/a.h5", "/two/a.h5", *common]
    assert search_paths(url, "a.h5", "virtual", local=True) == common
    monkeypatch.setenv("HDF5_VDS_PREFIX", "${ORIGIN}/sub")
    found = search_paths(url, "a.h5", "virtual", local=True)
    assert found[1:] == [str(tmp_path / "link" / "sub" / "a.h5"), *common]


def test_raw_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = str(tmp_path / "sub" / "x.h5")
    beside = str(tmp_path / "sub" / "a.bin")
    assert search_paths(url, "a.bin", "raw", local=True) == [str(tmp_path / "a.bin"), beside]
    assert search_paths(url, "/far/a.bin", "raw", local=True) == ["/far/a.bin"]
    monkeypatch.setenv("HDF5_EXTFILE_PREFIX", "${ORIGIN}")
    assert search_paths(url, "a.bin", "raw", local=True) == [beside]
    monkeypatch.setenv("HDF5_EXTFILE_PREFIX", "/prefix")
    assert search_paths(url, "a.bin", "raw", local=True) == ["/prefix/a.bin", beside]
