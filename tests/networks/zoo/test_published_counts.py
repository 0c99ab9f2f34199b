"""ResNet18 and Xception have the parameters that their publishers give, but for the last layer."""

from __future__ import annotations

import pytest

pytest.importorskip("tensorflow")

from keras_ddl.networks import zoo
from keras_ddl.networks.cost import parameters


def other_top(published: int, features: int) -> int:
    """The count with two classes in place of ImageNet's thousand."""
    return published - (features + 1) * 1000 + (features + 1) * 2


def test_resnet18_is_torchvisions() -> None:
    model = zoo.get("resnet18").build(64, 4)
    assert parameters(model) == other_top(11_689_512, 512)  # torchvision counts what is trained


@pytest.mark.slow
def test_xception_is_keras() -> None:
    model = zoo.get("xception").build(71, 4)
    assert model.count_params() == other_top(22_910_480, 2048)  # Keras counts statistics too
