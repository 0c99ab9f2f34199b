"""Results of a scan: where they go, the ledger, the evidence, the summary."""
