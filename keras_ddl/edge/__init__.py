"""The half without TensorFlow: video, faces, clips, and the contract of a bundle."""
