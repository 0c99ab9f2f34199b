"""Evidence: one folder per event on disk, chained by hashes, and the means to check it later.

`deploy.sinks.evidence_folder` writes it, `python -m deploy.evidence` lists and verifies it;
docs/evidence.md says what lies in a folder.
"""
