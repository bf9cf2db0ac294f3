"""Comparing what a manifest reads as with what the original files hold."""
