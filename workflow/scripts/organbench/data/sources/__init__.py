"""Where data come from: a package or module per source, and downloads."""
