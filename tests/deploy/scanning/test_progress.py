"""The bar of a scan: whatever workers tell, and however late."""

from __future__ import annotations

import pytest

from deploy.scanning.progress import Bar


def test_what_a_worker_tells_late_is_let_go(capsys: pytest.CaptureFixture[str]) -> None:
    bar = Bar(100, 1, {})
    bar.begin(0, 100)
    bar.share(0, 0.5)
    bar.share(0, 0.25)  # a second try
    bar.done(0, False, 3600.0)
    bar.share(0, 1.0)  # the file is done and forgotten
    bar.close()
    assert capsys.readouterr().err == ""  # which is no terminal
