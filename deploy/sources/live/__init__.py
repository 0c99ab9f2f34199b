"""Live sources: a reading thread, its queue, clock and watchdogs."""
