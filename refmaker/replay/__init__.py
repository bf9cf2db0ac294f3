"""Replay: a manifest as a read-only filesystem of Zarr keys.

Contract: a key that the manifest does not record is absent (`FileNotFoundError`, which Zarr reads as the fill value);
a key that it records and that cannot be read raises a `RefmakerError`, which Zarr cannot take for a missing chunk.
"""
