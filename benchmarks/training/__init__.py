"""Speed of preparation, input pipeline and training, and how several workers scale."""
