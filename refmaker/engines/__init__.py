"""Where work is done: processes of this machine, or an existing Dask cluster. Knows nothing of what the work is."""
