"""The option `--keep-query`, which commands that write urls of targets share."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import click

from refmaker.redaction import KEEP_QUERY, keep_query

__all__ = ["keep_query_option"]

F = TypeVar("F", bound=Callable[..., Any])


def keep_query_option(command: F) -> F:
    """Add the option to a command. Its values are in force before the command runs."""
    return click.option(
        "--keep-query",
        multiple=True,
        metavar="NAME",
        expose_value=False,
        callback=_keep,
        help="A parameter of urls that is no secret and stays in manifests. May be given again.",
    )(command)


def _keep(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> None:
    for name in value:
        if not name.strip() or set(name) & set("&=?,#"):
            raise click.BadParameter(f"the name of one parameter is needed, not {name!r}", ctx, param)
    if value:
        before = os.environ.get(KEEP_QUERY)
        ctx.call_on_close(partial(_restore, before))
        keep_query(value)


def _restore(before: str | None) -> None:
    os.environ.pop(KEEP_QUERY, None)
    if before is not None:
        os.environ[KEEP_QUERY] = before
