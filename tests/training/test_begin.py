"""Training in two steps: the first on the same clips, once, and where the second starts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from keras_ddl.build_network import load_run
from keras_ddl.config import TrainConfig, load
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.runs import INCOMPLETE
from keras_ddl.evaluate import evaluate
from keras_ddl.training.begin import FOLDER, begin, first_step
from keras_ddl.training.options import TrainingOptions

SMALL = (
    "backbone=efficientnet_lite0",
    "width=0.25",
    "size=32",
    "frames=4",
    "batch=4",
    "epochs=1",
    "detector=haar",
    "false_alarms=0",
    "interval_ms=40",
    "longest_interval_ms=0",
)


def test_the_first_step_shares_clips_and_backbone_and_keeps_its_own_training() -> None:
    config = load("edge", overrides=["size=160", "seed=7", "epochs=2", "pseudo_fakes=only"])
    first = first_step(config)
    assert (first.size, first.seed, first.pseudo_fakes) == (160, 7, "only")
    assert first.spec() == config.spec() and first.localise == config.localise
    assert (first.network, first.single_frames, first.epochs) == ("frames", True, 18)


def test_named_weights_need_no_first_step(tmp_path: Path) -> None:
    config = load("edge", overrides=["weights=somewhere"])
    assert begin(config, tmp_path, tmp_path, TrainingOptions()) is config
    assert begin(TrainConfig(), tmp_path, tmp_path, TrainingOptions()) == TrainConfig()


def test_several_workers_are_told_to_take_two_commands(tmp_path: Path) -> None:
    options: Any = SimpleNamespace(devices=SimpleNamespace(workers=2))
    with pytest.raises(UserError, match="train --preset edge-frames first"):
        begin(load("edge"), tmp_path, tmp_path, options)


@pytest.mark.slow
def test_an_edge_training_does_both_and_goes_on_where_it_was(
    wide_set: Path, tmp_path: Path
) -> None:
    """The first step's weights come from nothing here; else they would be ImageNet's."""
    asked = ["--prepared", str(wide_set), "--out", str(tmp_path / "run"), "--preset", "edge"]
    small = """
import sys
from keras_ddl import presets, train
values = dict(presets.PRESETS["edge-frames"].values, weights="", batch=4, epochs=1)
presets.PRESETS["edge-frames"] = presets.Preset(source="test", values=values)
sys.exit(train.main(sys.argv[1:]))
"""
    command = [sys.executable, "-c", small, *asked, "--set", *SMALL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    run = tmp_path / "run"
    model, config, _ = load_run(run)
    source, first, _ = load_run(run / FOLDER)
    assert first.single_frames and config.weights == str(run / FOLDER)
    assert not (run / FOLDER / INCOMPLETE).exists() and not (run / "latest").exists()
    assert "step 1 of 2" in done.stderr and "step 2 of 2" in done.stderr
    # What rests in the second step is what the first step left.
    for name in ("stem", "block0_project"):
        for one, other in zip(
            model.get_layer(name).get_weights(), source.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(one, other)
    # Reals alone are judged beside fakes made of them, and the report shows those.
    found = evaluate(run)
    assert [part.name for part in found.sets] == ["wide-videos, fakes made of its reals"]
    assert found.sets[0].video["fake"] == found.sets[0].video["real"] == 1
    assert json.loads((run / "config.json").read_text())["config"]["begin"] == "edge-frames"
