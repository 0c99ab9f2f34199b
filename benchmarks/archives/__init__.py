"""Scans of archives: by sample, over a cluster, growth."""
