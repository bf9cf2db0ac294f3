"""Where bytes come from: Windows over local files, memory and remote sources."""
