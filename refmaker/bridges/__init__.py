"""Manifests in the terms of other libraries, and theirs as manifests: VirtualiZarr, Icechunk, kerchunk.

Contract: a bridge takes and gives the other library's own objects. It is loaded only by whom it is asked for, and says
which package is missing. What the other side cannot express is refused by name, never changed on the way.
"""
