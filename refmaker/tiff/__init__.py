"""TIFF: `ifd` and `page` decode, `walk` has the steps, `images` makes arrays of pages."""
