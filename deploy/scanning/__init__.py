"""Parts of `deploy/scan.py`: finding files, judging them in processes, the summary."""
