"""Presets of networks that `extend` has made, where nothing but keras_ddl is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

ROOT = Path(__file__).resolve().parents[2]
SMALL = """
image = layers.Input((32, 32, 3))
x = layers.BatchNormalization()(layers.Conv2D(8, 3, 4, activation="relu")(image) * 2.0)
cnn = keras.Model(image, layers.Add(name="stage")([x, x]))
"""
MOBILE = """
cnn = keras.applications.MobileNetV3Small((32, 32, 3), include_top=False, weights=None)
"""
MAKER = """
import sys
import numpy as np
from keras_ddl import extend, save_to_preset
from keras_ddl.framework import keras
layers, folder = keras.layers, sys.argv[1]
{cnn}
*_, last = [layer.name for layer in cnn.layers if isinstance(layer, layers.Add)]
model = extend(cnn, {{"late": last}}, frames=4)
random = np.random.RandomState(0)
model.set_weights([random.uniform(0.1, 0.5, w.shape).astype(w.dtype) for w in model.get_weights()])
frames = random.uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
save_to_preset(model, folder + "/preset")
np.savez(folder + "/made.npz", frames=frames, want=model(frames))
"""
LOADER = """
import sys
import numpy as np
import keras_ddl
folder = sys.argv[1]
model = keras_ddl.from_preset(folder + "/preset")
np.save(folder + "/got.npy", model(np.load(folder + "/made.npz")["frames"]))
"""


def run_in(choice: str, script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "KERAS_DDL_KERAS": choice, "PYTHONPATH": str(ROOT)}
    environment.pop("TF_USE_LEGACY_KERAS", None)
    line = [sys.executable, "-c", script, str(folder)]
    return subprocess.run(line, capture_output=True, text=True, env=environment)


@pytest.mark.parametrize("choice", ["tf_keras", pytest.param("keras", marks=pytest.mark.slow)])
@pytest.mark.parametrize("cnn", [SMALL, pytest.param(MOBILE, marks=pytest.mark.slow)])
def test_it_comes_back_where_keras_ddl_alone_is_imported(
    cnn: str, choice: str, tmp_path: Path
) -> None:
    pytest.importorskip("keras", "3.0")
    for script in (MAKER.format(cnn=cnn), LOADER):
        done = run_in(choice, script, tmp_path)
        assert done.returncode == 0, done.stderr[-3000:]
    want = np.load(tmp_path / "made.npz")["want"]
    assert np.isfinite(want).all() and np.ptp(want) > 0
    np.testing.assert_array_equal(np.load(tmp_path / "got.npy"), want)
