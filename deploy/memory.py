"""How much memory this process holds."""

from __future__ import annotations

import sys
from pathlib import Path


def resident_bytes() -> int:
    """Resident memory in bytes; 0 where the system does not tell (it does on Linux)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    import resource

    return pages * resource.getpagesize() if sys.platform == "linux" else 0
