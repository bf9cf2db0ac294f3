"""What the libraries behind kerchunk do to a process costs the file that they did it over, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("astropy")
pytest.importorskip("kerchunk")
pytest.importorskip("zarr", minversion="3")

from astropy.io import fits
from click.testing import CliRunner
from refmaker_cli.main import main

from refmaker import limits, scan_many
from refmaker.errors import FormatError, RefmakerError
from refmaker.formats import apart
from refmaker.scanning.scan import scan
from tests.formats.reading import read
from tests.servers import RangeServer, range_server

__all__ = ["range_server"]

CRASH = "import ctypes; ctypes.string_at(0)"
HANG = "import time; time.sleep(60)"
MEMORY = "numpy.ones(1 << 29)"
EXIT = "import os; os._exit(7)"


@pytest.fixture
def stub(tmp_path, monkeypatch) -> Iterator[ModuleType]:
    """Put a module in the place of kerchunk.fits that does something to its process over files named so."""
    package = tmp_path / "stubs" / "kerchunk"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    cases = {"crash": CRASH, "hang": HANG, "memory": MEMORY, "exit": EXIT}
    lines = ["import numpy", "def process_file(url, **options):"]
    lines += [
        f"    if 'SUSPECT_{name}' in open(url, 'rb').read().decode('latin1'):\n        {code}"
        for name, code in cases.items()
    ]
    lines += ["    import json, numpy as np", "    return {'.zgroup': '{\"zarr_format\": 2}'}"]
    (package / "fits.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(str(package.parent))
    apart._dismiss()
    yield apart
    apart._dismiss()


def made(path: Path, suspect: str = "nothing") -> str:
    hdu = fits.PrimaryHDU(np.arange(12, dtype=">i4").reshape(3, 4))
    hdu.header["COMMENT"] = f"SUSPECT_{suspect}"
    hdu.writeto(path)
    return str(path)


@pytest.mark.parametrize(("suspect", "why"), [("crash", "SIGSEGV"), ("exit", "status 7")])
def test_a_crash_costs_the_file(stub, tmp_path, suspect, why):
    with pytest.raises(FormatError, match=f"crashed over this one: .*{why}") as raised:
        scan(made(tmp_path / "bad.fits", suspect))
    assert raised.value.source == str(tmp_path / "bad.fits")
    scan(made(tmp_path / "good.fits"))


def test_what_does_not_end_is_ended(stub, tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "FORMATS_SILENCE", 1.0)
    with pytest.raises(FormatError, match="does not end"):
        scan(made(tmp_path / "bad.fits", "hang"))
    assert apart._running is None
    monkeypatch.setattr(limits, "FORMATS_SILENCE", 300.0)
    scan(made(tmp_path / "good.fits"))


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does it")
def test_memory_is_bounded(stub, tmp_path, monkeypatch):
    """The limit is read by the process apart, from its environment."""
    monkeypatch.setenv(limits.ENVIRONMENT, f"formats-memory={1 << 30}")
    manifest = scan(made(tmp_path / "bad.fits", "memory"))  # 4 GiB
    assert "MemoryError" in manifest.refusals["/PRIMARY"] or "more memory" in manifest.refusals["/PRIMARY"]


def test_on_the_command_line(stub, tmp_path):
    path = made(tmp_path / "bad.fits", "crash")
    done = CliRunner().invoke(main, ["scan", path, "-o", str(tmp_path / "m.json")])
    assert done.exit_code == 1
    assert "bad.fits" in done.output
    assert "SIGSEGV" in done.output
    assert not (tmp_path / "m.json").exists()


def test_of_many_files(stub, tmp_path):
    paths = [made(tmp_path / f"{n}.fits", "crash" if n == 1 else "nothing") for n in range(3)]
    outcomes = dict(scan_many(paths))
    assert isinstance(outcomes[paths[1]], FormatError)
    assert not any(isinstance(outcomes[path], RefmakerError) for path in (paths[0], paths[2]))


def test_the_process_is_used_again_and_replaced(tmp_path):
    path = made(tmp_path / "a.fits")
    scan(path)
    first = apart._running
    assert first is not None
    scan(path)
    assert apart._running is first
    first.process.kill()
    first.process.wait()
    np.testing.assert_array_equal(read(scan(path), "PRIMARY"), np.arange(12).reshape(3, 4))
    assert apart._running is not first


def test_remote_bytes_are_read_by_whoever_asks(tmp_path, range_server: RangeServer):
    """No url, option or credential goes to the process apart: options that cannot be pickled work as well."""
    path = made(tmp_path / "a.fits")
    url = range_server.add("a.fits", Path(path).read_bytes())

    class Headers(dict):
        def __reduce__(self):
            raise TypeError("not to be handed on")

    manifest = scan(url, storage_options={"headers": Headers({"X-Asked": "yes"})})
    assert all(request.headers.get("X-Asked") == "yes" for request in range_server.served)
    np.testing.assert_array_equal(read(manifest, "PRIMARY", allow=[range_server.url]), np.arange(12).reshape(3, 4))


def test_a_process_that_does_not_start(monkeypatch, tmp_path):
    path = made(tmp_path / "a.fits")
    apart._dismiss()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RefmakerError, match="ends as soon as it is started"):
        scan(path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    with pytest.raises(RefmakerError, match="cannot be started"):
        scan(path)


def test_it_ends_with_whoever_started_it(tmp_path):
    path = made(tmp_path / "a.fits")
    code = f"""
import os
from refmaker import scan
from refmaker.formats import apart
scan({path!r})
print(apart._running.process.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=os.getcwd(), check=False)
    assert done.returncode == -9
    pid = int(done.stdout)
    for _ in range(100):
        if not _alive(pid):
            break
        time.sleep(0.1)
    assert not _alive(pid)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
