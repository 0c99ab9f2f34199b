"""Agreement between two runtimes of one network."""
