"""Pictures of a manifest.

Contract: `layout` computes what is drawn, in numpy and of bounded size, whatever the manifest holds; `figure` draws it
with matplotlib, which only that imports.
"""
