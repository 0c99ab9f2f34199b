"""Training of a network: devices, order of events, what is watched and what is kept."""
