"""HDF5: one module per on-disk structure, named as the format specification (version 4.0) names it."""
