"""Saved networks: loaded by a process that knows nothing but `keras_ddl.layers`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from keras_ddl.edge.commands import ROOT
from keras_ddl.framework import keras
from keras_ddl.networks.extend import extend

LOADER = """
import sys
from pathlib import Path
import numpy as np
import keras_ddl.layers
from keras_ddl.framework import keras, tf

folder = Path(sys.argv[1])
clip = np.load(folder / "clip.npy")
answers = {}
for name in ("whole.keras", "whole.h5", "folder"):
    answers[name] = keras.models.load_model(folder / name).predict(clip, verbose=0)
exported = tf.saved_model.load(str(folder / "exported"))
answers["exported"] = exported.serve(clip).numpy()
np.savez(folder / "answers.npz", **answers)
"""


def test_four_forms_come_back_without_custom_objects(tmp_path: Path) -> None:
    image = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu", name="first")(image)
    x = keras.layers.Conv2D(16, 3, strides=2, activation="relu", name="second")(x)
    network = extend(keras.Model(image, x), stages=["first", "second"], frames=4)
    for layer in network.layers:
        if hasattr(layer, "gamma") and layer.gamma.shape == (1,):
            layer.gamma.assign([0.5])  # asleep, the modules would not be told from others
    clip = np.random.default_rng(0).random((8, 32, 32, 3), np.float32)
    wanted = network.predict(clip, verbose=0)
    np.save(tmp_path / "clip.npy", clip)
    network.save(tmp_path / "whole.keras")
    with pytest.warns(UserWarning, match="HDF5"):
        network.save(tmp_path / "whole.h5")
    network.save(tmp_path / "folder", save_format="tf")
    network.export(tmp_path / "exported")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", LOADER, str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "answers.npz") as answers:
        assert len(answers.files) == 4
        for name in answers.files:
            np.testing.assert_allclose(answers[name], wanted, atol=1e-5, err_msg=name)
