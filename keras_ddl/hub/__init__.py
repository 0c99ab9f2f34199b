"""Presets: a network with its weights and its contract in one folder, as KerasHub lays it out."""
