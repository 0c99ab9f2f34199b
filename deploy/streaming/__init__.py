"""Several sources at a time: one thread for each stage from frame to sink."""
