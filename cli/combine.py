"""`refmaker combine`: many manifests or files in, one manifest out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

import refmaker
from refmaker.errors import RefmakerError
from refmaker.urls import is_local

from .destination import OUTPUT, PARQUET, check_outputs, locked_output, write, write_bytes
from .engines import check_scheduler, dask_engine
from .keep_query import keep_query_option
from .output import (
    DONE,
    FAILED,
    REFUSED,
    ProgressLine,
    brief,
    counted,
    list_refusals,
    report_text,
    say,
    say_error,
    say_notes,
    say_table,
)
from .param_types import SIZE
from .storage_options import filesystem_options

if TYPE_CHECKING:
    from refmaker import Combination, CombineError, Mismatch
    from refmaker.combining.records import Progress

__all__ = ["combine", "combining_options", "run"]

F = TypeVar("F", bound=Callable[..., Any])

_ROWS = 40
_WIDTH = 60


_OPTIONS: Final = (
    click.option(
        "--concat",
        multiple=True,
        metavar="DIM",
        help="Concatenate along this dimension. A scalar variable or global attribute of this name becomes a "
        "new dimension; NAME=REGEX takes its values from the input names, for example 'member=_r(\\d+)_', "
        "and NAME=REGEX:FORMAT dates, for example 'time=_(\\d{8}):%Y%m%d'. "
        "Repeatable.  [default: the dimensions whose coordinates differ]",
    ),
    click.option(
        "--on-mismatch",
        type=click.Choice(["compose", "refuse", "drop-variable", "split", "inline"]),
        help="What to do with a variable in which the inputs differ: leave chunks of different lengths where they are "
        "(Zarr 3), refuse to combine, drop it, split the inputs into groups, or copy it into the manifest.  "
        "[default: compose where that is exact, else refuse]",
    ),
    click.option(
        "--zarr-format",
        type=click.IntRange(2, 3),
        metavar="2|3",
        help="Zarr format of the metadata of source files.  [default: as the first manifest, else 2]",
    ),
    click.option(
        "--duplicates",
        type=click.Choice(["refuse", "first", "last"]),
        help="Which of several inputs with the same coordinate values to use.  [default: refuse]",
    ),
    click.option(
        "--inline-limit",
        type=SIZE,
        metavar="SIZE",
        help="Refuse an array that needs more bytes than this in the manifest.  [default: 16 MiB]",
    ),
    click.option(
        "--group", metavar="PATH", help="Combine this group of the inputs only, as the root, for example /forecast."
    ),
    click.option(
        "--include",
        multiple=True,
        metavar="GLOB",
        help="Combine only arrays whose path matches, for example '/forecast/*'. Repeatable.",
    ),
    click.option("--exclude", multiple=True, metavar="GLOB", help="Leave out arrays whose path matches. Repeatable."),
    click.option(
        "--jobs",
        type=click.IntRange(min=1),
        metavar="N",
        help="Number of processes that read inputs.  [default: this process alone]",
    ),
    click.option(
        "--engine",
        type=click.Choice(["local", "dask"]),
        default="local",
        show_default=True,
        help="Read the inputs on this machine, or on the workers of a Dask cluster.",
    ),
    click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Address of the Dask scheduler.  [default: as Dask is configured]",
    ),
    click.option(
        "--report",
        type=OUTPUT,
        metavar="REPORT",
        help="Write a JSON report of mismatches and results (- for stdout).",
    ),
    filesystem_options("--storage-options", "Options of the fsspec filesystem of remote inputs and targets."),
    keep_query_option,
    click.option("-q", "--quiet", is_flag=True, help="Print errors only."),
)
"""The options that `combine` and `append` share, in the order of their help."""


def combining_options(command: F) -> F:
    """Add the options that `combine` and `append` share."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="MANIFEST|FILE|DIR...")
@click.option("-o", "--output", type=OUTPUT, required=True, metavar="OUT", help="Manifest to write (- for stdout).")
@click.option("--skip-failed", is_flag=True, help="Leave out inputs that cannot be read, and list them.")
@combining_options
@click.pass_context
def combine(
    ctx: click.Context,
    /,
    inputs: tuple[str, ...],
    output: str,
    report: str | None,
    quiet: bool,
    skip_failed: bool,
    **given: Any,
) -> None:
    """Combine manifests, or source files, into one manifest.

    Inputs are concatenated along the dimensions whose coordinates differ, in the order of coordinate values; variables
    that only some inputs have are merged. Everything else must agree in all of them: otherwise a table lists what
    differs, and nothing is written.

    An input may also be a directory of manifests or files, the DEST of `refmaker batch`, a quoted pattern
    ('s3://bucket/**/*.json'), or - for a list on standard input.

    Example: refmaker combine 2023/*.nc -o 2023.json

    Exit status: 0 combined; 3 combined, but a variable was dropped, split, copied, or refused by an input, or an input
    was left out; 1 the inputs differ, or one cannot be read.
    """
    skipped: dict[str, str] = {}
    named = _expanded(inputs, given["storage_options"], skipped if skip_failed else None)
    check_outputs(named, [output, report])

    def work(names: Sequence[str], **options: Any) -> Combination:
        made = refmaker.combine_with_report(names, skip_failed=skip_failed, **options)
        made.skipped = skipped | made.skipped
        return made

    ctx.exit(run(work, named, output, report, quiet, given))


def _expanded(
    inputs: Sequence[str], storage_options: dict[str, Any] | None, skipped: dict[str, str] | None
) -> list[str]:
    """Return the inputs that names on the command line, or on the standard input, stand for."""
    names = [name for one in inputs for name in (_names_read() if one == "-" else [one])]
    from refmaker.batch.inputs import expand_inputs

    return expand_inputs(names, storage_options=storage_options, skipped=skipped)


def _names_read() -> Iterator[str]:
    """Read names from the standard input, one a line."""
    for line in sys.stdin.buffer:
        name = os.fsdecode(line.rstrip(b"\r\n"))
        if name.strip():
            yield name


def run(
    work: Callable[..., Combination],
    inputs: Sequence[str],
    output: str,
    report: str | None,
    quiet: bool,
    given: dict[str, Any],
    *,
    wait: float = 0.0,
) -> int:
    """Combine, write, print a summary, and return the exit status; for the lock of the output wait so many seconds."""
    engine, scheduler = given.pop("engine"), given.pop("scheduler")
    check_scheduler(engine, scheduler)
    options = {name: value for name, value in given.items() if value not in (None, ())}
    stores = given["storage_options"]
    if output.rstrip("/").endswith(PARQUET) and is_local(output):
        options["spill"] = os.path.dirname(os.path.realpath(output))  # the disk that must hold the result anyway
    entry: dict[str, Any] = {"inputs": len(inputs), "output": output}
    try:
        with ExitStack() as stack:
            held = stack.enter_context(locked_output(output, wait, stores))
            if engine == "dask":
                jobs = options.pop("jobs", None)
                options["engine"] = stack.enter_context(closing(dask_engine(jobs=jobs, scheduler=scheduler)))
            made = _combined(work, inputs, options, quiet=quiet)
            write(made.manifest, output, held=held, storage_options=stores)
    except RefmakerError as error:
        found: Sequence[Mismatch] = getattr(error, "mismatches", ())
        if report is not None:
            failure = {"error": str(error), "mismatches": [_listed(one, None) for one in found]}
            write_bytes(report_text(entry | failure), report, storage_options=stores)
        if not found:
            raise
        _say_table(error, found)
        return FAILED
    if report is not None:
        write_bytes(report_text(entry | _summary(made)), report, storage_options=stores)
    if not quiet:
        _say_summary(made, inputs, output, report)
    changed = any(outcome.action != "composed" for outcome in made.outcomes)
    return REFUSED if changed or made.skipped or made.manifest.refusals else DONE


def _combined(
    work: Callable[..., Combination], inputs: Sequence[str], options: dict[str, Any], *, quiet: bool
) -> Combination:
    if quiet or not sys.stderr.isatty():
        return work(inputs, **options)
    with ProgressLine("") as line:

        def show(progress: Progress) -> None:
            line.show(f"{progress.done} of {counted(progress.known, 'input')} read")

        return work(inputs, progress=show, **options)


def _say_table(error: CombineError | RefmakerError, found: Sequence[Mismatch]) -> None:
    """Print what differs, one row for each distinct value."""
    say_error(f"refmaker: {getattr(error, 'message', error)}:")
    rows = [("variable", "differs", "is", "in")]
    for one in found:
        for value, names in one.values.items():
            where = "" if not names else names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
            rows.append((one.variable, one.what, value if len(value) <= _WIDTH else value[:_WIDTH] + "…", where))
    say_table(rows[: _ROWS + 1], err=True)
    if len(rows) > _ROWS + 1:
        say(f"… and {len(rows) - _ROWS - 1} more rows: --report FILE lists all", err=True)
    if remedy := getattr(error, "remedy", None):
        say(remedy, err=True)


def _say_summary(made: Combination, inputs: Sequence[str], output: str, report: str | None) -> None:
    manifest = made.manifest
    along = ", ".join(f"{one.path} ({one.length})" for one in made.dimensions)
    counts = f"{counted(len(manifest.arrays), 'array')}, {counted(manifest.chunks, 'chunk')}"
    where = "stdout" if output == "-" else output
    say(f"{counted(len(inputs), 'input')} -> {where}: {counts}{f', along {along}' if along else ''}", err=True)
    for outcome in made.outcomes:
        say(f"{outcome.action}: {outcome.mismatch}", err=True)
    for name, reason in list(made.skipped.items())[:_ROWS]:
        say(brief(f"skipped: {reason if name in reason else f'{name}: {reason}'}"), err=True)
    if len(made.skipped) > _ROWS:
        say(f"… and {len(made.skipped) - _ROWS} more skipped: --report FILE lists all", err=True)
    say_notes([*made.notes, *made.manifest.notes], "--report FILE has them all" if report is None else f"see {report}")
    list_refusals(manifest.refusals, "see --report")


def _summary(made: Combination) -> dict[str, Any]:
    return {
        "error": None,
        "dimensions": [{"path": d.path, "length": d.length, "inputs": list(d.inputs)} for d in made.dimensions],
        "mismatches": [_listed(outcome.mismatch, outcome.action) for outcome in made.outcomes],
        "refusals": made.manifest.refusals,
        "skipped": made.skipped,
        "notes": [*made.notes, *made.manifest.notes],
    }


def _listed(mismatch: Mismatch, action: str | None) -> dict[str, Any]:
    values = {value: list(names) for value, names in mismatch.values.items()}
    return {"variable": mismatch.variable, "differs": mismatch.what, "values": values, "action": action}
