"""Memory of this process and of the machine, from Linux' `/proc` and cgroups."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from keras_ddl.edge.errors import MISSING, UserError

MIB = 1 << 20
_UNLIMITED = 1 << 60  # version 1 writes "no limit" as a number of about 2⁶³


def peak_mib() -> float:
    """Peak resident memory of this process in MiB; NaN where the system does not tell.

    Not `getrusage`: on Linux its peak includes the parent's, from before the program was started.
    """
    try:
        return _kib(Path("/proc/self/status"), "VmHWM") / 1024
    except OSError:
        return float("nan")


def resident_bytes() -> int:
    """Resident memory of this process in bytes; 0 where the system does not tell."""
    try:
        return _kib(Path("/proc/self/status"), "VmRSS") * 1024
    except OSError:
        return 0


def available_mib(root: Path = Path("/")) -> float:
    """Memory in MiB that new processes can have: the machine's, or less where a cgroup says so.

    Args:
        root: Where `proc` and `sys` are.

    Raises:
        UserError: If the system does not tell.
    """
    try:
        free = _kib(root / "proc/meminfo", "MemAvailable") * 1024
    except OSError as error:
        raise UserError(
            f"cannot tell how much memory is free ({error.strerror}: {error.filename}); say it: "
            "--memory-limit MIB",
            MISSING,
        ) from error
    return min(free, *_rooms(root), _UNLIMITED) / MIB


def _rooms(root: Path) -> Iterator[int]:
    """Bytes that this process' cgroup, and each above it, would still allow."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            base, limit, usage = "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        elif not controllers:
            base, limit, usage = "", "memory.max", "memory.current"
        else:
            continue
        top = root / "sys/fs/cgroup" / base
        for group in (top / path.lstrip("/"), *(top / path.lstrip("/")).parents):
            room = _room(group, limit, usage)
            if room is not None:
                yield room
            if group == top:
                break


def _room(group: Path, limit: str, usage: str) -> int | None:
    try:
        most = (group / limit).read_text(encoding="ascii").strip()
        if most == "max" or int(most) >= _UNLIMITED:
            return None
        used = int((group / usage).read_text(encoding="ascii"))
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    # Cached files are counted as used and given up on demand.
    cached = int(stat.get("total_inactive_file", stat.get("inactive_file", 0)))
    return int(most) - used + cached


def _kib(file: Path, name: str) -> int:
    for line in file.read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise OSError(0, f"no {name}", str(file))
