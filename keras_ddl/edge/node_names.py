"""Names by which the exporter recognises operations of the layers in a converted graph."""

from __future__ import annotations

GATHER, SCATTER = "gather_kept", "scatter_kept"  # DFDC's, around the value of the kept positions
RANGE_MARK = "int8_range"  # the clip that a channels-first QuantPoint leaves of its range
