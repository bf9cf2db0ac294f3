"""Coverage-guided fuzzing of every decoder, with atheris (libFuzzer over Python's own coverage).

    python -m tests.fuzz.guided NAME... [--runs N] [--seconds S] [--keep DIR] [--corpus DIR] [--list]

Without names, all targets of `tests.fuzz.targets` one after the other, each in a process of its own. Prints a table:
executions, executions a second, coverage (edges, and features as libFuzzer counts them), findings that differ, the
slowest input in seconds of processor time, the most memory that one took in megabytes. A finding is kept as
DIR/<target>/<digest>; minimal ones belong into `tests/fuzz/crashers`, which every run of the tests replays. Exit status
1 if there is any.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from refmaker.errors import RefmakerError

SECONDS = 5.0
MEMORY = 512 << 20
_LINE = re.compile(r"#\d+\s+\w+\s+cov: (\d+) ft: (\d+)")


class TooSlow(BaseException):
    """Raised by the alarm; a BaseException, so that nothing takes it for an error of its own."""


@dataclass(slots=True)
class Notes:
    """What happened in a child."""

    slowest: float = 0.0
    largest: int = 0
    findings: dict[str, str] = field(default_factory=dict)
    answers: int = 0


def obeys(run: Any, data: bytes, *, seconds: float = SECONDS, memory: int = MEMORY) -> BaseException | None:
    """Hold the law against one input: an answer or a RefmakerError, soon and in little memory."""
    from tests.fuzz.fuzz_hdf5 import TooSlow as Alarm
    from tests.fuzz.fuzz_hdf5 import limits

    try:
        with limits(seconds, memory):
            run(data)
    except RefmakerError:
        return None
    except (Exception, Alarm) as error:  # noqa: BLE001
        return error
    return None


def signature(error: BaseException) -> str:
    """Name a finding by its kind and the place in refmaker where it came up."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/refmaker/" in frame.filename] or list(frames)
    where = f"{Path(own[-1].filename).name}:{own[-1].name}" if own else "?"
    return f"{type(error).__name__} in {where}"


def child(name: str, arguments: argparse.Namespace) -> None:
    """Fuzz one target; never returns."""
    import resource

    import atheris

    with atheris.instrument_imports(include=["refmaker", "tarfile", "zipfile"]):
        from tests.fuzz.targets import TARGETS

        target = TARGETS[name]
        corpus = Path(arguments.corpus) / name
        corpus.mkdir(parents=True, exist_ok=True)
        for data in target.seeds():
            if len(data) <= target.longest:
                (corpus / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
        for path in sorted(corpus.iterdir()):  # what is imported late is imported, and instrumented, now
            obeys(target.run, path.read_bytes())
    notes, notes_path = Notes(), Path(arguments.notes)

    def save() -> None:
        notes_path.write_text(json.dumps(asdict(notes)))

    def one(data: bytes) -> None:
        rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begin = time.process_time()
        error = obeys(target.run, data)
        taken = time.process_time() - begin
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - rss) << 10
        notes.answers += error is None
        if taken > notes.slowest or grown > notes.largest:
            notes.slowest, notes.largest = max(taken, notes.slowest), max(grown, notes.largest)
            save()
        if error is not None and signature(error) not in notes.findings:
            place = Path(arguments.keep) / name / hashlib.sha256(data).hexdigest()[:16]
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
            text = "".join(traceback.format_exception(error)[-6:])[-1500:]
            notes.findings[signature(error)] = f"{place}: {error!r:.200}\n{text}"
            save()

    save()
    options = [f"-runs={arguments.runs}", f"-max_len={target.longest}", "-timeout=60", "-rss_limit_mb=4096"]
    options += [f"-max_total_time={arguments.seconds}", "-print_final_stats=1", f"-seed={arguments.seed}"]
    if target.words:
        words = Path(f"{arguments.notes}.words")
        words.write_text("".join(f'"{word}"\n' for word in target.words))
        options.append(f"-dict={words}")
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={arguments.notes}.", str(corpus)], one)
    atheris.Fuzz()


def fuzz(name: str, arguments: argparse.Namespace, folder: str) -> tuple[list[str], Notes, str]:
    """Fuzz one target in a process of its own; give its row of the table, what it found, and how it ended."""
    notes_path = os.path.join(folder, f"{name}.json")
    command = [sys.executable, "-m", "tests.fuzz.guided", name, "--child", "--notes", notes_path]
    for option in ("runs", "seconds", "seed", "keep", "corpus"):
        command += [f"--{option}", str(getattr(arguments, option))]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    notes = Notes(**json.loads(Path(notes_path).read_text())) if os.path.exists(notes_path) else Notes()
    coverage = _LINE.findall(done.stderr)
    stats = dict(re.findall(r"stat::(\w+):\s+(\d+)", done.stderr))
    if done.returncode:
        broken = [path for path in Path(folder).glob(f"{name}.json.*") if path.suffix != ".words"]
        for path in broken:
            place = Path(arguments.keep) / name / path.name.rpartition("-")[2][:16]
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
        notes.findings[f"ended with status {done.returncode}"] = f"{broken}\n{done.stderr[-1500:]}"
    edges, features = coverage[-1] if coverage else ("0", "0")
    row = [name, stats.get("number_of_executed_units", "0"), stats.get("average_exec_per_sec", "0"), edges, features,
           str(len(notes.findings)), f"{notes.slowest:.3f}", f"{notes.largest / 1e6:.1f}"]  # fmt: skip
    return row, notes, _flat(done.stderr)


def _flat(log: str) -> str:
    """Say at which execution the last new edge was found."""
    last, edges = "0", ""
    for number, found in re.findall(r"#(\d+)\s+\w+\s+cov: (\d+)", log):
        if found != edges:
            last, edges = number, found
    return last


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--runs", type=int, default=-1)
    parser.add_argument("--seconds", type=int, default=20, help="for each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", default="fuzz-findings")
    parser.add_argument("--corpus", default=os.path.join(tempfile.gettempdir(), "refmaker-fuzz-corpus"))
    parser.add_argument("--list", action="store_true", help="print the names of the targets")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--notes", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.names[0], arguments)
    from tests.fuzz.targets import TARGETS

    if arguments.list:
        print("\n".join(TARGETS))
        return 0
    found = {}
    head = [
        "decoder",
        "executions",
        "a second",
        "edges",
        "features",
        "findings",
        "slowest s",
        "largest MB",
        "last edge",
    ]
    print("  ".join(f"{cell:>20}" if i == 0 else f"{cell:>10}" for i, cell in enumerate(head)), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.names or TARGETS:
            row, notes, flat = fuzz(name, arguments, folder)
            cells = [*row, flat]
            print("  ".join(f"{cell:>20}" if i == 0 else f"{cell:>10}" for i, cell in enumerate(cells)), flush=True)
            found.update({f"{name}: {kind}": text for kind, text in notes.findings.items()})
    for kind, text in found.items():
        print(f"\n{kind}\n{text}")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
