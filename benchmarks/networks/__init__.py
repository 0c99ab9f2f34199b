"""Speed and memory of networks."""
