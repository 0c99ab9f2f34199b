"""Export of a trained network to files that devices run, each step checked against the last."""
