"""From a trained network to files that devices run, each step checked against the one before."""
