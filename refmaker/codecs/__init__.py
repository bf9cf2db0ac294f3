"""Codecs that let libhdf5 itself decode the stored bytes of a chunk, whatever its filters and datatype.

`image` lays out a file in memory, `decode` runs chunks through it with h5py, `memory` says what libhdf5 converts to,
`exact` which datatypes widen without loss, `config` is the form that stands in Zarr metadata; `hdf5` and `zarr3` are
the faces that numcodecs and zarr find by entry point.
"""
