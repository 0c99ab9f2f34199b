"""Parity of two runtimes of one network: answers, tolerances, the gate, the divergence."""
