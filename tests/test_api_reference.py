"""The API reference is built whole: the public names, and no link that leads nowhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("pdoc")

import keras_ddl

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
def test_it_is_built(tmp_path: Path) -> None:
    line = [sys.executable, "scripts/api_reference.py", str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and "Warn" not in done.stderr, done.stderr
    front = (tmp_path / "keras_ddl.html").read_text(encoding="utf-8")
    assert all(f'id="{name}"' in front for name in keras_ddl.__all__)
    assert "the positions whose frame-to-frame similarity fluctuates" in front, "docstrings"
    assert (tmp_path / "keras_ddl" / "edge" / "clipspec.html").is_file()
    for page in tmp_path.rglob("*.html"):
        for link in re.findall(r'href="([^"#:?]+\.html)', page.read_text(encoding="utf-8")):
            assert (page.parent / link).is_file(), (page, link)
