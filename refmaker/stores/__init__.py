"""What scanning and replay share of the stores that files are in: HTTP, S3, any filesystem of fsspec."""
