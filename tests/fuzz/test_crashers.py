"""Every input that once broke the law, and every target's own seeds, are held to it in each run."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does it")

CRASHERS = Path(__file__).with_name("crashers")


def crashers() -> list[tuple[str, str]]:
    return [(path.parent.name, path.name) for path in sorted(CRASHERS.glob("*/*"))]


@pytest.mark.parametrize(("name", "digest"), crashers())
def test_crashers(name: str, digest: str) -> None:
    from tests.fuzz.guided import obeys
    from tests.fuzz.targets import TARGETS

    error = obeys(TARGETS[name].run, (CRASHERS / name / digest).read_bytes())
    if error is not None:
        raise error


def names() -> list[str]:
    from tests.fuzz.targets import TARGETS

    return list(TARGETS)


@pytest.mark.parametrize("name", names())
def test_seeds(name: str) -> None:
    """A target without seeds that give answers would be fuzzed in vain."""
    from refmaker.errors import RefmakerError
    from tests.fuzz.guided import obeys
    from tests.fuzz.targets import TARGETS

    target, answers = TARGETS[name], 0
    for data in target.seeds():
        error = obeys(target.run, data)
        if error is not None:
            raise error
        try:
            target.run(data)
            answers += 1
        except RefmakerError:
            pass
    assert answers or name == "cache_image"  # which h5py does not write


def test_the_law_is_held() -> None:
    from refmaker.errors import FormatError
    from tests.fuzz.guided import obeys, signature

    def refused(data: bytes) -> None:
        raise FormatError("no")

    def slow(data: bytes) -> None:
        while True:
            pass

    assert obeys(refused, b"") is None
    assert obeys(len, b"") is None
    error = obeys(lambda data: data[0], b"")
    assert isinstance(error, IndexError)
    assert "IndexError" in signature(error)
    assert obeys(lambda data: bytearray(1 << 31), b"", memory=64 << 20) is not None
    assert obeys(slow, b"", seconds=0.05) is not None


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed")
def test_guided(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz.guided", "link", "--runs", "300", "--corpus", str(tmp_path / "corpus")]
    done = subprocess.run(
        [*command, "--keep", str(tmp_path / "keep")],
        capture_output=True,
        text=True,
        cwd=CRASHERS.parents[2],
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[1].split()[:1] == ["link"]
    assert int(done.stdout.splitlines()[1].split()[1]) >= 300
