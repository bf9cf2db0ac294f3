"""Archives: which sources there are, which of them are to be scanned, what became of each, whether that still holds."""
