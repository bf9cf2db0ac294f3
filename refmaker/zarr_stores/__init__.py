"""Zarr stores as sources: folders, zip files and servers, with Zarr 2 or 3, sharded or not."""
