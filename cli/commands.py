"""The `refmaker` command: every command, a line each."""

from __future__ import annotations

import click

import refmaker

from .append import append
from .batch import batch
from .check import check
from .combine import combine
from .commit import commit
from .completion import completion
from .convert import convert
from .export import export
from .group import Commands
from .info import info
from .limits import limits
from .rewrite import rewrite
from .scan import scan
from .serve import serve
from .stac import stac
from .status import status
from .verify import verify

__all__ = ["main"]


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "REFMAKER"})
@click.version_option(refmaker.__version__, "-V", "--version", prog_name="refmaker")
def main() -> None:
    """Read HDF5 and netCDF files as Zarr, in place.

    Start with `refmaker scan FILE`, which writes a manifest, and `refmaker verify`, which compares it with FILE.

    Exit status: 0 done; 1 failed, and nothing is half-written; 2 wrong usage; 3 done, but something was refused (it is
    listed); 130 interrupted.
    """


main.add_command(scan)
main.add_command(info)
main.add_command(combine)
main.add_command(append)
main.add_command(commit)
main.add_command(stac)
main.add_command(verify)
main.add_command(batch)
main.add_command(check)
main.add_command(status)
main.add_command(convert)
main.add_command(rewrite)
main.add_command(serve)
main.add_command(export)
main.add_command(limits)
main.add_command(completion)
