"""`refmaker verify`: compare a manifest with the original files, for people and for CI."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import click

from refmaker.errors import RefmakerError

from .destination import OUTPUT, check_outputs, options_for, reported, write_bytes
from .output import DONE, FAILED, REFUSED, ProgressLine, counted, describe, report_text, say, say_error
from .storage_options import filesystem_options

if TYPE_CHECKING:
    from refmaker.verification.verify import ArrayResult, Progress, ShownResult, VerifyReport

__all__ = ["verify"]

_SAMPLE = 64
_MANIFESTS = 10
_LEDGER = "refmaker.sqlite"


@click.command()
@click.argument("given", metavar="MANIFEST...", nargs=-1, required=True)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"Compare about N chunks of each array.  [default: {_SAMPLE}]",
)
@click.option("--full", is_flag=True, help="Compare all chunks of all arrays.")
@click.option(
    "--manifests",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"Verify N manifests of a directory, chosen at random.  [default: {_MANIFESTS}]",
)
@click.option(
    "--seed", type=int, default=0, metavar="N", show_default=True, help="Seed of the random choice of manifests."
)
@click.option(
    "--report",
    type=OUTPUT,
    metavar="FILE",
    help="Write a JSON report of the result for each target and array (- for stdout).",
)
@filesystem_options("--storage-options", "Options of the fsspec filesystem of the targets, and of a remote MANIFEST.")
@click.option(
    "--repo", metavar="URL", help="Compare the values of an Icechunk repository that MANIFEST was committed to."
)
@click.option("--branch", metavar="NAME", help="Branch of the repository.  [default: main]")
@click.option("--repo-group", metavar="PATH", help="Group of the repository that MANIFEST was committed to.")
@filesystem_options("--repo-options", "Options of the fsspec filesystem of the repository.")
@click.option("--no-xarray", is_flag=True, help="Do not compare what xarray shows for the manifest and for the file.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON; the same as --report -.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@click.pass_context
def verify(
    ctx: click.Context,
    /,
    given: tuple[str, ...],
    sample: int | None,
    full: bool,
    manifests: int | None,
    seed: int,
    report: str | None,
    storage_options: dict[str, Any] | None,
    repo: str | None,
    branch: str | None,
    repo_group: str | None,
    repo_options: dict[str, Any] | None,
    no_xarray: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Compare each MANIFEST with the files that it refers to, and print one line for each difference.

    Verify checks that the files are the ones that were scanned, that every reference lies within its file, that zarr
    reads the same values through the manifest as h5py (HDF5) or netCDF4 (netCDF classic) reads from the files, and that
    xarray shows the same for both.

    A combined MANIFEST is compared with each file it was made from: the values that the file has for its coordinates
    must be the values at these coordinates. Without --full, a sample of the files is compared.

    MANIFEST may also be an output directory of `refmaker batch`: then some of its manifests are verified.

    With --repo, zarr reads an Icechunk repository in the place of the manifest, which must hold all that was committed.

    Example: refmaker verify m.json --full

    Exit status: 0 everything is the same; 3 something differs, is refused, has changed, or could not be compared; 1 the
    manifest or a target cannot be read.
    """
    if full and sample is not None:
        raise click.UsageError("--sample and --full cannot be used together: choose one")
    report = reported(report, as_json=as_json)
    check_outputs(given, [report])
    chunks = None if full else sample or _SAMPLE
    if repo is None and any(one is not None for one in (branch, repo_group, repo_options)):
        raise click.UsageError("--branch, --repo-group and --repo-options are for --repo: name the repository")
    if repo is not None and len(given) > 1:
        raise click.UsageError("--repo compares one MANIFEST: name the one that was committed")
    how = _How(chunks, storage_options, quiet or report == "-", quiet, not no_xarray)
    statuses: set[int] = set()
    contents: list[dict[str, Any]] = []
    for manifest in given:
        if repo is not None:
            found = _verify_repository(manifest, repo, branch, repo_group, repo_options, how)
        elif manifests is None and not os.path.isfile(os.path.join(manifest, _LEDGER)):
            found = _verify_one(manifest, how, several=len(given) > 1)
        else:
            found = _verify_some(manifest, manifests or _MANIFESTS, seed, how)
        statuses |= found[0]
        contents += found[1]
    if report is not None:
        alone = len(given) == 1 and manifests is None and not os.path.isfile(os.path.join(given[0], _LEDGER))
        content = contents[0] if alone else {"manifests": contents}
        write_bytes(report_text(content), report, storage_options=options_for(report, given, storage_options))
    ctx.exit(FAILED if FAILED in statuses else max(statuses, default=DONE))


class _How(NamedTuple):
    """How manifests are verified, and what is printed."""

    chunks: int | None
    storage_options: dict[str, Any] | None
    silent: bool
    quiet: bool
    xarray: bool


_Found: TypeAlias = tuple[set[int], list[dict[str, Any]]]


def _verify_one(name: str, how: _How, *, several: bool) -> _Found:
    """Verify a manifest; return its exit status and report. One of several may fail without the others."""
    try:
        found = _verify(name, how.chunks, how.storage_options, quiet=how.quiet, xarray=how.xarray)
    except RefmakerError as error:
        if not several:
            raise
        say_error(f"refmaker: {describe(error, name)}")
        return {FAILED}, [{"manifest": name, "error": str(error)}]
    return {_say(name, found, quiet=how.silent)}, [found.to_dict()]


def _verify_repository(
    manifest: str,
    repo: str,
    branch: str | None,
    group: str | None,
    options: dict[str, Any] | None,
    how: _How,
) -> tuple[set[int], list[dict[str, Any]]]:
    """Compare a repository with the files of the manifest that was committed to it."""
    from refmaker.verification.through_icechunk import verify_repository

    found = verify_repository(
        manifest,
        repo,
        branch=branch or "main",
        group=group or "",
        sample=how.chunks,
        storage_options=how.storage_options,
        repo_options=options,
    )
    return {_say(repo, found, quiet=how.silent)}, [found.to_dict()]


def _verify_some(folder: str, number: int, seed: int, how: _How) -> _Found:
    """Verify some manifests of a directory; return their exit statuses and reports."""
    from refmaker.batch.check import choose_manifests
    from refmaker.verification.verify import manifest_options

    statuses: set[int] = set()
    reports: list[dict[str, Any]] = []
    options = manifest_options(folder, how.storage_options or {})
    for name in choose_manifests(folder, number, seed=seed, storage_options=options):
        status, report = _verify_one(name, how._replace(quiet=how.silent), several=True)
        statuses |= status
        reports += report
    return statuses, reports


def _say(manifest: str, found: VerifyReport, *, quiet: bool) -> int:
    """Print what was found, and return the exit status."""
    for line in () if quiet else (*_findings(found), _summary(manifest, found)):
        say(line)
    for target in found.targets:
        if target.status == "unreadable":
            say_error(f"refmaker: {target.url}: {target.reason}")
    return FAILED if found.failed else REFUSED if found.differences or found.skipped or found.refused else DONE


def _verify(
    manifest: str, sample: int | None, storage_options: dict[str, Any] | None, *, quiet: bool, xarray: bool
) -> VerifyReport:
    from refmaker.verification.verify import verify as run

    if quiet or not sys.stderr.isatty():
        return run(manifest, sample=sample, storage_options=storage_options, xarray=xarray)
    with ProgressLine(manifest) as line:

        def show(progress: Progress) -> None:
            line.show(f"{manifest}: {progress.done} of {counted(progress.known, progress.unit)}, {progress.path}")

        return run(manifest, sample=sample, storage_options=storage_options, progress=show, xarray=xarray)


def _findings(found: VerifyReport) -> Iterator[str]:
    for target in found.targets:
        if target.status == "changed":
            yield f"{target.url}: changed: {target.reason}"
    for array in found.arrays:
        if array.status != "same":
            yield f"{array.path}: {_WORDS[array.status]}: {array.reason}{_first(array)}"
    for path, reason in found.refused.items():
        yield f"{path}: refused: {reason}"
    if found.shown is not None:
        yield from _shown(found.shown)


def _shown(shown: ShownResult) -> Iterator[str]:
    if shown.reason is not None:
        yield f"not all compared through xarray: {shown.reason}"
    for one in shown.differences:
        yield f"{one.path}: xarray shows another {one.aspect}: {one.expected} of the file, {one.got} of the manifest"
    for one in shown.notes:
        how = f"{one.expected} of the file, {one.got} of the manifest"
        yield f"{one.path}: note: xarray's Zarr engine shows another {one.aspect}: {how}; engine='refmaker' does not"


_WORDS = {"differs": "differs", "unreadable": "unreadable", "skipped": "not compared"}


def _first(array: ArrayResult) -> str:
    first = array.first_difference
    if first is None:
        return ""
    return f"; the first, at {first.index}, is {first.expected!r} in the file, {first.got!r} through the manifest"


def _summary(manifest: str, found: VerifyReport) -> str:
    same = sum(array.status == "same" for array in found.arrays)
    checked, chunks = (sum(getattr(array, name) for array in found.arrays) for name in ("chunks_checked", "chunks"))
    where = f" with {counted(found.files, 'file')}" if found.files else ""
    parts = [f"{same} of {counted(len(found.arrays), 'array')} the same ({checked} of {chunks} chunks compared{where})"]
    counts = {
        "different": sum(array.status == "differs" for array in found.arrays),
        "unreadable": sum(array.status == "unreadable" for array in found.arrays),
        "not compared": found.skipped,
        "refused": len(found.refused),
    }
    parts += [f"{count} {what}" for what, count in counts.items() if count]
    if found.shown is not None and found.shown.variables:
        parts.append(f"xarray shows {counted(found.shown.variables, 'variable')}, {_how(found.shown)}")
    for status in ("changed", "unreadable"):
        count = sum(target.status == status for target in found.targets)
        parts += [f"{counted(count, 'target')} {status}"] if count else []
    if found.repeated:
        parts.append(f"{counted(found.repeated, 'request')} retried: the server was busy, or connections were lost")
    return f"{manifest}: " + ", ".join(parts)


def _how(shown: ShownResult) -> str:
    return f"{counted(len(shown.differences), 'difference')}" if shown.differences else "all the same"
