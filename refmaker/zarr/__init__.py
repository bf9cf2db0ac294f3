"""Zarr metadata, codecs and references for the variables of a view."""
