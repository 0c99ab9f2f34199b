"""Parts of `deploy/serve.py`: uploads and links in, verdicts per face out; docs/serve.md."""
