"""How a network is trained: devices, order of events, what is watched and what is kept."""
