"""Archives: which sources there are, which of them are to be scanned, the result for each, whether that still holds."""
