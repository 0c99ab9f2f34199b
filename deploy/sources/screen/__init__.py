"""The screen as a source: a monitor, a part of one, or a window."""
