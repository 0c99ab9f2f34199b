"""Configuration: presets, overrides, and what is said to a wrong one."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import pytest

from keras_ddl.config import (
    DEFAULT_PRESET,
    PRESETS,
    TrainConfig,
    add_arguments,
    from_arguments,
    load,
)
from keras_ddl.edge.errors import UserError


def test_preset_paper_holds_the_papers_settings() -> None:
    config = load("paper")
    assert (config.backbone, config.modules, config.keep) == (
        "compact_xception",
        ("dfdc", "msa"),
        "paper",
    )
    assert (config.frames, config.size, config.batch, config.epochs) == (8, 256, 12, 20)
    assert (config.learning_rate, config.halve_every, config.width) == (1e-3, 8, 1.0)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_loads_and_says_where_it_comes_from(name: str) -> None:
    preset = PRESETS[name]
    assert load(name).preset == name
    assert preset.source and preset.hardware and preset.expected


def test_file_wins_over_preset_and_override_over_file(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('preset = "smoke"\nbatch = 6\nepochs = 7\nmodules = ["msa"]\n')
    config = load(DEFAULT_PRESET, file, ["epochs=9"])
    assert (config.preset, config.batch, config.epochs) == ("smoke", 6, 9)
    assert config.modules == ("msa",)
    assert config.size == PRESETS["smoke"].values["size"]


def test_overrides_take_the_type_of_their_key() -> None:
    overrides = ["modules=none", "keep=5", "flip=false", "learning_rate=2e-4", "weights=a.h5"]
    config = load("paper", overrides=[*overrides, "synthetic_videos=3, 2,1"])
    assert (config.modules, config.keep, config.flip) == ((), 5, False)
    assert (config.learning_rate, config.weights) == (2e-4, "a.h5")
    assert config.synthetic_videos == (3, 2, 1)
    assert load("paper", overrides=["keep=released", "modules=msa"]).keep == "released"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["learning_rat=1"], "unknown config key 'learning_rat'; did you mean 'learning_rate'"),
        (["epoch=1"], "did you mean 'epochs'"),
        (["batch=twelve"], "'batch': expected a whole number, received \"twelve\""),
        (["batch=2.5"], "'batch': expected a whole number, received \"2.5\""),
        (["width=wide"], "'width': expected a number"),
        (["flip=maybe"], "'flip': expected true or false"),
        (["epochs"], "expected key=value, received 'epochs'"),
        (["epochs=0"], "epochs: expected more than 0, received 0"),
        (["modules=dfdc,lstm"], "modules: expected some of dfdc, msa"),
        (["frames=6"], "frames: expected a positive multiple of 4, received 6"),
        (["synthetic_videos=1,2"], "three counts"),
        (["shift=0.5"], "shift: expected less than 0.5"),
        (["xla=true", "deterministic=true"], "xla: expected false with deterministic"),
    ],
)
def test_wrong_override_says_what_was_expected(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        load("paper", overrides=overrides)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batch = true\n", "'batch': expected a whole number, received true"),
        ("width = [1]\n", "'width': expected a number, received [1]"),
        ("backbone = 3\n", "'backbone': expected text, received 3"),
        ('flip = "yes"\n', "'flip': expected true or false without quotes, received \"yes\""),
        ('batch = "8"\n', "'batch': expected a whole number without quotes"),
        ("keep = [1]\n", "'keep': expected text or a whole number"),
        ("modules = [1]\n", "'modules': expected a list of names"),
        ("[train]\nbatch = 1\n", "unknown config key 'train'"),
        ("batch = \n", "not valid TOML"),
    ],
)
def test_wrong_file_says_what_was_expected(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        load("paper", file)
    assert message in str(caught.value)


def test_missing_file_and_unknown_preset() -> None:
    with pytest.raises(UserError, match=r"cannot read nowhere\.toml"):
        load("paper", Path("nowhere.toml"))
    with pytest.raises(UserError, match="unknown preset 'papr'; did you mean 'paper'"):
        load("papr")


def test_dict_round_trip_with_other_than_default_values() -> None:
    config = load("smoke", overrides=["modules=msa", "keep=3", "seed=11", "flip=no"])
    values = json.loads(json.dumps(config.to_dict()))
    assert TrainConfig.from_dict(values) == config
    assert values.keys() == {field.name for field in dataclasses.fields(TrainConfig)}


def test_spec_takes_the_clips_settings() -> None:
    overrides = ["frames=12", "size=80", "interval_ms=33.5", "margin=1.5", "smoothing=0.2"]
    spec = load("paper", overrides=overrides).spec()
    found = (spec.frames, spec.size, spec.interval_ms, spec.margin, spec.smoothing)
    assert found == (12, 80, 33.5, 1.5, 0.2)


def test_command_line_options() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert from_arguments(parser.parse_args([])) == load(DEFAULT_PRESET)
    arguments = ["--preset", "paper", "--set", "batch=2", "epochs=3", "--set", "seed=4"]
    config = from_arguments(parser.parse_args(arguments))
    assert (config.preset, config.batch, config.epochs, config.seed) == ("paper", 2, 3, 4)
