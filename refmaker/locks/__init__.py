"""Who writes an output: one run at a time, on this machine and on others, in files and in stores."""
