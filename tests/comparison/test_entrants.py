"""Who is compared: configurations, what contradicts itself, and what is refused at once."""

from __future__ import annotations

import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl.comparison.entrants import NAMES, entrants, synthetic_overrides
from keras_ddl.config import load
from keras_ddl.edge.errors import UserError
from keras_ddl.networks import zoo


def test_all_are_the_zoos_and_the_papers_own() -> None:
    assert set(NAMES) == {*zoo.NAMES, "ddl"} and NAMES[-1] == "ddl"


def test_each_keeps_its_own_settings_but_for_what_is_set() -> None:
    xception, own = entrants(["xception", "ddl", "xception"], ["batch=3", "seed=7"], "cpu")
    assert xception.config == load("xception", overrides=["batch=3", "seed=7"])
    assert xception.config.size == 299 and xception.config.weights == "imagenet"
    assert own.config == load("cpu", overrides=["batch=3", "seed=7"])
    assert (own.title, own.network, own.config.network) == ("DDL", "ddl", "ddl")
    assert own.options() == ["--preset", "cpu", "--set", "batch=3", "seed=7"]
    assert entrants(["resnet18"], [], "paper")[0].options() == ["--preset", "resnet18"]


def test_what_one_method_cannot_be_does_not_stop_the_others() -> None:
    """Xception's three epochs of the head alone do not fit into two."""
    xception, resnet = entrants(["xception", "resnet18"], ["epochs=2"], "paper")
    assert "frozen_epochs: expected below 2, received 3" in str(xception.refusal)
    assert xception.refusal.exit_code == 2
    assert resnet.refusal is None and resnet.config.epochs == 2


@pytest.mark.parametrize(
    ("names", "overrides", "preset", "said"),
    [
        (["xcepton"], [], "paper", "unknown method 'xcepton'; did you mean 'xception'"),
        (["resnet18"], [], "papr", "--ddl-preset: unknown preset 'papr'; did you mean 'paper'"),
        (["resnet18"], ["siz=3"], "paper", "unknown config key 'siz'; did you mean 'size'"),
        (["resnet18"], ["size"], "paper", "--set: expected key=value, received 'size'"),
        (["resnet18"], ["network=ddl"], "paper", "--set network: .* --models decides that"),
        (["xception", "resnet18"], ["batch=0"], "paper", "Xception: batch: expected more than 0"),
        (["ddl", "resnet18"], ["frames=5"], "paper", "frames: expected a positive multiple of 4"),
    ],
)
def test_what_no_method_can_be_is_refused_at_once(
    names: list[str], overrides: list[str], preset: str, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        entrants(names, overrides, preset)


def test_all_methods_get_one_generated_set() -> None:
    given = ["size=64", "synthetic_difficulty=0.5"]
    found = synthetic_overrides(given, "smoke")
    mine, *drawn = found
    assert mine == "size=64"
    assert drawn == ["synthetic_videos=4,2,2", "synthetic_difficulty=0.5", "synthetic_seed=0"]
    made = [entrant.config for entrant in entrants(["resnet18", "ddl"], found, "paper")]
    assert len({config.synthetic_videos for config in made}) == 1
    assert all(config.synthetic_difficulty == 0.5 for config in made)
