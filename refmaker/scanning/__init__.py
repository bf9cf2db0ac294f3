"""From a source to a manifest: the stages one after the other, for one file and for many."""
