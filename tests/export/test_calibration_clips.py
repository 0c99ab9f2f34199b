"""Clips for calibration: of both classes, in the form that `to_trt` reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.calibration_clips import main
from export.conversion.run_clips import balanced
from export.parity.clips import clips_for
from keras_ddl.edge.clipspec import ClipSpec


def test_both_classes_are_taken_evenly():
    labels = np.array([0] * 100 + [1] * 4)
    chosen = balanced(labels, 8)
    np.testing.assert_array_equal(chosen, [0, 33, 66, 99, 100, 101, 102, 103])
    assert list(balanced(np.zeros(3, int), 8)) == [0, 1, 2]
    assert len(balanced(np.empty(0, int), 8)) == 0


def test_the_file_is_what_the_builder_reads(flicker_set: Path, tmp_path: Path, capsys):
    out = tmp_path / "clips.npz"
    command = ["--prepared", str(flicker_set), "--count", "10", "--out", str(out)]
    assert main(command) == 0
    assert "10 clips of the split 'train'" in capsys.readouterr().out
    found = clips_for(tmp_path, ClipSpec(frames=4, size=32), out)
    assert found.measured.shape == found.compared.clips.shape == (5, 4, 32, 32, 3)
    assert found.calibrated and not np.array_equal(found.measured, found.compared.clips)
    both = np.concatenate([found.measured, found.compared.clips])
    # Fakes flicker, reals stand still: five of each.
    change = np.abs(np.diff(both.astype(int), axis=1)).mean(axis=(1, 2, 3, 4))
    assert (change > 20).sum() == 5
    assert [path.name for path in tmp_path.iterdir()] == ["clips.npz"]


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        (("--count", "1"), 2, "--count >= 2"),
        (("--out", "absent/clips.npz"), 2, "cannot write 'absent/clips.npz'"),
        (("--prepared", "absent"), 2, "absent"),
    ],
)
def test_mistakes_are_one_line(flicker_set, tmp_path, capsys, changes, code, words):
    command = ["--prepared", str(flicker_set), "--out", str(tmp_path / "c.npz"), *changes]
    assert main(command) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and words in line
