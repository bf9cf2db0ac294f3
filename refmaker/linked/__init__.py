"""Data that stand in other files: external raw data files, virtual datasets, external links."""
