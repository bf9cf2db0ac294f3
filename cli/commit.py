"""`refmaker commit`: manifests as a commit of an Icechunk repository."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from .output import DONE, REFUSED, counted, list_refusals, say, say_notes
from .storage_options import filesystem_options

__all__ = ["commit"]

_LEDGER = "refmaker.sqlite"


@click.command()
@click.argument("manifests", metavar="MANIFEST|DEST...", nargs=-1, required=True)
@click.option("--repo", metavar="URL", required=True, help="Icechunk repository: a path, s3:// or gs://.")
@click.option("--branch", default="main", metavar="NAME", show_default=True, help="Branch to commit to.")
@click.option("--append-dim", metavar="DIM", help="Append along this dimension to arrays that the repository has.")
@click.option("--group", default="", metavar="PATH", help="Group of the repository for the root of the manifest.")
@click.option("--overwrite", is_flag=True, help="Replace arrays that the repository has.")
@click.option("-m", "--message", metavar="TEXT", help="Message of the commit.  [default: what it holds]")
@filesystem_options("--storage-options", "Options of the fsspec filesystem of the manifests and of their targets.")
@filesystem_options("--repo-options", "Options of the repository, as fsspec has them.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@click.pass_context
def commit(
    ctx: click.Context,
    /,
    manifests: tuple[str, ...],
    repo: str,
    branch: str,
    append_dim: str | None,
    group: str,
    overwrite: bool,
    message: str | None,
    storage_options: dict[str, Any] | None,
    repo_options: dict[str, Any] | None,
    quiet: bool,
) -> None:
    """Commit manifests to an Icechunk repository, in one commit, as virtual chunks.

    The repository is created if there is none. Several manifests are combined first, as `refmaker combine` does. DEST
    is an output directory of `refmaker batch`: all its manifests are committed.

    With --append-dim, arrays that the repository has grow along that dimension. If anything does not fit, nothing is
    committed. Icechunk checks the ETag or the time of each source file when it reads a virtual chunk.

    Example: refmaker commit 2023.json 2024.json --repo s3://bucket/repo --append-dim time

    Exit status: 0 done; 1 failed, and nothing was committed; 3 done, but something was refused.
    """
    from refmaker.bridges.icechunk import commit as commit_manifests

    if append_dim is not None and overwrite:
        raise click.UsageError("--append-dim and --overwrite cannot be used together: choose one")
    found = commit_manifests(
        _expanded(manifests, storage_options),
        repo,
        branch=branch,
        append_dim=append_dim,
        group=group,
        overwrite=overwrite,
        message=message,
        storage_options=storage_options,
        repo_options=repo_options,
    )
    if not quiet:
        counts = f"{counted(found.arrays, 'array')}, {counted(found.chunks, 'chunk')} in {counted(found.files, 'file')}"
        counts += f", {len(found.refused)} refused:" if found.refused else ""
        say(f"{repo} ({branch}) {found.snapshot}: {counts}", err=True)
        if found.unchecked:
            say(
                f"{counted(found.unchecked, 'file')} without ETag or time: Icechunk cannot see if they change", err=True
            )
        say_notes(found.notes, "the repository is as it was there")
        list_refusals(found.refused, "see the refusals in the manifests")
    ctx.exit(REFUSED if found.refused else DONE)


def _expanded(names: Sequence[str], storage_options: dict[str, Any] | None) -> list[str]:
    """Return manifests, those of output directories in the place of the directories."""
    from refmaker.batch.check import choose_manifests

    found: list[str] = []
    for name in names:
        if os.path.isfile(os.path.join(name, _LEDGER)):
            found += choose_manifests(name, sys.maxsize, storage_options=storage_options)
        else:
            found.append(name)
    return found
