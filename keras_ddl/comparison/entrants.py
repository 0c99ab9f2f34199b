"""`entrants`: the networks of a matrix, each with its configuration or why it has none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from keras_ddl import config as configs
from keras_ddl.config import DDL, TrainConfig
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.values import unknown
from keras_ddl.networks import zoo
from keras_ddl.presets import PRESETS

if TYPE_CHECKING:
    from keras_ddl.networks.zoo.method import Method

NAMES = (*zoo.NAMES, DDL)
DDL_PRESET = "paper"
NOT_SETTABLE = {"network": "--models", "preset": "--models and --ddl-preset"}
"""Keys that this command decides itself, and the option that does."""
SYNTHETIC = ("synthetic_videos", "synthetic_difficulty", "synthetic_seed")


@dataclass(frozen=True)
class Entrant:
    """A network that is trained and judged, and the settings of that.

    Args:
        name: Its folder.
        title: What tables call it.
        network: What entrants that differ by their seed alone have in common.
        preset, file, overrides: Of its configuration, see `config.load`.
    """

    name: str
    title: str
    network: str
    preset: str
    file: Path | None
    overrides: tuple[str, ...]

    @cached_property
    def config(self) -> TrainConfig:
        """Its configuration; a UserError where the settings contradict each other."""
        return configs.load(self.preset, self.file, self.overrides)

    @cached_property
    def refusal(self) -> UserError | None:
        """Why there is no configuration."""
        try:
            _ = self.config
        except UserError as error:
            return error
        return None

    def options(self) -> list[str]:
        """Return the options with which any command makes its configuration."""
        read = ["--config", str(self.file)] if self.file else []
        changed = ["--set", *self.overrides] if self.overrides else []
        return ["--preset", self.preset, *read, *changed]


def entrants(names: Sequence[str], overrides: Sequence[str], ddl_preset: str) -> list[Entrant]:
    """Return the methods to compare, in the order of their names.

    Args:
        names: Of `NAMES`; one that is named twice is taken once.
        overrides: `key=value` for all of them.
        ddl_preset: The preset that the paper's own method is trained with.

    Raises:
        UserError: An unknown name or preset; an override that no method can be given.
    """
    for name in names:
        if name not in NAMES:
            raise UserError(f"--models: {unknown('method', name, dict.fromkeys(NAMES))}")
    if ddl_preset not in PRESETS:
        raise UserError(f"--ddl-preset: {unknown('preset', ddl_preset, PRESETS)}")
    for item in overrides:
        key = item.partition("=")[0].strip()
        if key in NOT_SETTABLE:
            raise UserError(f"--set {key}: expected another key; {NOT_SETTABLE[key]} decides that")
        if key not in {field.name for field in fields(TrainConfig)}:
            configs.load(overrides=[item])  # says which keys there are
    found = []
    for name in dict.fromkeys(names):
        title, preset = about(name, ddl_preset).title, ddl_preset if name == DDL else name
        found.append(Entrant(name, title, name, preset, None, tuple(overrides)))
    first = found[0].refusal
    if first and all(entrant.refusal for entrant in found):
        raise UserError(f"{found[0].title}: {first}", first.exit_code)
    return found


def synthetic_overrides(overrides: Sequence[str], ddl_preset: str) -> list[str]:
    """Return what every method must be set to for all of them to get the same generated set.

    It is the set of the paper's own method's preset, with what was set over that.
    """
    mine = [item for item in overrides if item.partition("=")[0].strip() in SYNTHETIC]
    values = configs.load(ddl_preset, overrides=mine).to_dict()
    rest = [item for item in overrides if item not in mine]
    shown = {
        key: ",".join(map(str, values[key])) if isinstance(values[key], list) else values[key]
        for key in SYNTHETIC
    }
    return [*rest, *(f"{key}={value}" for key, value in shown.items())]


def about(name: str, ddl_preset: str) -> Method:
    """Return what is known of a method; the paper's own is described like the others."""
    if name != DDL:
        method: Method = zoo.get(name).METHOD
        return method
    from keras_ddl.networks.zoo.method import Method

    preset = PRESETS[ddl_preset]
    return Method(title="DDL", temporal=True, source=preset.source, values=preset.values)
