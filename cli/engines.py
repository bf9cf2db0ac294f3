"""Where commands have their work done: the engine that options ask for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from refmaker.engines.distributed import DaskEngine
    from refmaker.engines.engine import Engine

__all__ = ["check_scheduler", "dask_engine", "engine_of"]


def engine_of(name: str, *, jobs: int | None, scheduler: str | None, timeout: float | None = None) -> Engine:
    """Return the engine of a name. Connects to the cluster, where it is one; starts no process yet, where it is not."""
    if name == "dask":
        return dask_engine(jobs=jobs, scheduler=scheduler, timeout=timeout)
    check_scheduler(name, scheduler)
    from refmaker.engines.local import LocalEngine

    return LocalEngine(jobs or _processors(), timeout)


def dask_engine(*, jobs: int | None, scheduler: str | None, timeout: float | None = None) -> DaskEngine:
    """Connect to a Dask cluster."""
    if jobs is not None:
        raise click.UsageError("--jobs is for --engine local: a Dask cluster has its own number of workers")
    from refmaker.engines.distributed import DaskEngine

    return DaskEngine(scheduler, timeout)


def check_scheduler(name: str, scheduler: str | None) -> None:
    """Make sure that a scheduler is named for a cluster only."""
    if name != "dask" and scheduler is not None:
        raise click.UsageError("--scheduler needs --engine dask")


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
