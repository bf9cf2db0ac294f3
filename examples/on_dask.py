"""An archive on an existing Dask cluster: its workers write the manifests, then read them.

    python examples/on_dask.py SCHEDULER ARCHIVE MANIFESTS VARIABLE

SCHEDULER is an address such as tcp://10.0.0.1:8786. The workers have refmaker installed and see the same directories.
Prints the mean of a variable over all files that have it.
"""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

import xarray as xr
from distributed import Client

from refmaker.batch.discovery import Inputs
from refmaker.batch.run import Batch, Result
from refmaker.engines.distributed import DaskEngine


def make(scheduler: str, archive: str, manifests: str) -> Result:
    """Bring the manifests up to date: `refmaker batch ARCHIVE --out MANIFESTS --engine dask --scheduler SCHEDULER`."""
    with closing(DaskEngine(scheduler, timeout=600)) as engine:
        return Batch(Inputs((archive,)), manifests).run(engine)


def total(manifest: str, variable: str) -> tuple[float, int]:
    """Return sum and count of a variable of one file. Runs on a worker, which reads the chunks from the file itself."""
    with xr.open_dataset(manifest, engine="refmaker", chunks=None) as dataset:
        if variable not in dataset:
            return 0.0, 0
        values = dataset[variable]
        return float(values.sum()), int(values.count())


def main(scheduler: str, archive: str, manifests: str, variable: str) -> None:
    """Do both."""
    result = make(scheduler, archive, manifests)
    rows = [*result.rows, *result.unchanged]
    print(f"{len(rows)} files: {len(result.rows)} scanned, {sum(row.status == 'failed' for row in rows)} failed")
    names = [str(Path(manifests, row.output).absolute()) for row in rows if row.status != "failed"]
    with Client(scheduler) as client:
        totals = client.gather(client.map(total, names, variable=variable))
    count = sum(number for _, number in totals)
    print(f"mean of {variable} over {count} values: {sum(part for part, _ in totals) / count:g}")


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
