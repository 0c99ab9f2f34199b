"""What `deploy/scan.py` is made of: finding files, judging them in processes, the summary."""
