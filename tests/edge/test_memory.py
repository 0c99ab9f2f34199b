"""Free memory is the machine's, or less where a cgroup says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from keras_ddl.edge.errors import UserError
from keras_ddl.edge.memory import available_mib, resident_bytes

MIB = 1 << 20
UNLIMITED = str(2**63 - 4096)


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in {"proc/meminfo": "MemTotal: 9 kB\nMemAvailable: 4096000 kB\n"}.items():
        files.setdefault(name, text)
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("cgroup", "group", "names", "most", "expected"),
    [
        # version 2, a limit of its own: 1000 − 700 used + 100 of it cached files
        ("0::/a/b", "a/b", ("max", "current", "inactive_file"), str(1000 * MIB), 400),
        # version 2, the limit is its parent's
        ("0::/a/b", "a", ("max", "current", "inactive_file"), str(1000 * MIB), 400),
        ("0::/a/b", "a/b", ("max", "current", "inactive_file"), "max", 4000),
        # version 1; the lines of other controllers and of an empty version 2 beside it
        (
            "5:cpu:/x\n4:memory:/j\n0::/",
            "memory/j",
            ("limit_in_bytes", "usage_in_bytes", "total_inactive_file"),
            str(1000 * MIB),
            400,
        ),
        (
            "4:memory:/j",
            "memory/j",
            ("limit_in_bytes", "usage_in_bytes", "total_inactive_file"),
            UNLIMITED,
            4000,
        ),
        # more than the machine has
        ("0::/a", "a", ("max", "current", "inactive_file"), str(9000 * MIB), 4000),
    ],
)
def test_the_lowest_limit_counts(
    cgroup: str, group: str, names: tuple[str, str, str], most: str, expected: int, tmp_path: Path
) -> None:
    limit, usage, cached = names
    folder = f"sys/fs/cgroup/{group}"
    files = {
        "proc/self/cgroup": cgroup + "\n",
        f"{folder}/memory.{limit}": most,
        f"{folder}/memory.{usage}": str(700 * MIB),
        f"{folder}/memory.stat": f"cache 5\n{cached} {100 * MIB}\n",
    }
    assert available_mib(tree(tmp_path, files)) == expected


def test_without_cgroups_it_is_the_machines(tmp_path: Path) -> None:
    assert available_mib(tree(tmp_path, {})) == 4000


def test_a_system_that_does_not_tell_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"cannot tell how much memory is free .*--memory-limit MIB"
    ):
        available_mib(tmp_path)


def test_resident_memory_grows_with_what_is_used() -> None:
    before = resident_bytes()
    block = bytearray(80 << 20)
    block[:: 1 << 12] = b"x" * len(block[:: 1 << 12])
    assert before > 1 << 20 and 60 << 20 < resident_bytes() - before < 100 << 20


PEAK = """
from keras_ddl.edge.memory import peak_mib
before = peak_mib()
block = bytearray(80 << 20)
block[:: 1 << 12] = b"x" * len(block[:: 1 << 12])
del block
print(peak_mib() - before)
"""


def test_the_peak_stays_when_memory_is_given_back() -> None:
    """In a process of its own: one that has run other tests may have had its peak before."""
    done = subprocess.run([sys.executable, "-c", PEAK], check=True, capture_output=True, text=True)
    assert 70 < float(done.stdout) < 100
