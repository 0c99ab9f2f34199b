"""The authors' network in PyTorch has the size of ours; skips without PyTorch."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from benchmarks.networks.naive.torch_network import network

PARAMETERS = 10_632_624  # of the Keras network with both modules, 8 frames


def test_it_has_the_networks_parameters_and_judges_a_clip() -> None:
    judge = network(8)
    weights = {k: v for k, v in judge.state_dict().items() if "num_batches" not in k}
    assert sum(weight.numel() for weight in weights.values()) == PARAMETERS
    with torch.inference_mode():
        assert judge(torch.zeros(1, 8, 64, 64, 3)).shape == (1, 2)
