"""Cost and recall of the face search."""
