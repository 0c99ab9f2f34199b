"""Live sources: delay, drops, growth."""
