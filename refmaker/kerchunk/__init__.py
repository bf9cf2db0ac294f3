"""A manifest as documents: kerchunk JSON, Parquet sets, the cache of columns."""
