"""Live sources: a reading thread, its queue, its clock and what it is watched for."""
