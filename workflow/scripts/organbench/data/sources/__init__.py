"""Where data come from: phantoms, OpenKBP, downloads."""
