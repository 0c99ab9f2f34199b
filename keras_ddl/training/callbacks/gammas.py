"""γ of every module: whether training uses it."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_ddl.framework import keras
from keras_ddl.layers import DFDC, MSA


def gammas(model: keras.Model) -> dict[str, float]:
    """Return γ of every module, in the network's order, as `dfdc:<layer>` or `msa:<layer>`."""
    found = {}
    for layer in model.submodules:
        for kind, cls in (("dfdc", DFDC), ("msa", MSA)):
            if isinstance(layer, cls):
                found[f"{kind}:{layer.name}"] = float(np.ravel(layer.gamma.numpy())[0])
    return found


class GammaLog(keras.callbacks.Callback):
    """Mean |γ| of the DFDC and of the MSA modules, added to the epoch's logs.

    γ starts at 0, where a module is the identity; its size tells whether training uses it.
    """

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        values = gammas(self.model)
        for kind in ("dfdc", "msa"):
            sizes = [abs(v) for name, v in values.items() if name.startswith(f"{kind}:")]
            if sizes and logs is not None:
                logs[f"gamma_{kind}"] = float(np.mean(sizes))
