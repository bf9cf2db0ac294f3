"""HDF5 to Zarr: data types, filters, fill values and layouts of a dataset as an array of the manifest."""
