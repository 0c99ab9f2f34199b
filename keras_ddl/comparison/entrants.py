"""`entrants`: who is compared, each with its configuration or the reason why it has none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
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
    """A method that is compared.

    Args:
        name: One of `NAMES`; its folder.
        about: What the zoo says of it.
        preset: What `--preset` calls its configuration.
        overrides: What is set over that, `key=value`.
        config: What comes of both; None where they contradict each other.
        error: How.
        code: The exit code of that.
    """

    name: str
    about: Method
    preset: str
    overrides: tuple[str, ...]
    config: TrainConfig | None
    error: str = ""
    code: int = 0

    def options(self) -> list[str]:
        """Return the options with which any command makes its configuration."""
        changed = ["--set", *self.overrides] if self.overrides else []
        return ["--preset", self.preset, *changed]


def entrants(
    names: Sequence[str], overrides: Sequence[str], ddl_preset: str = DDL_PRESET
) -> list[Entrant]:
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
    found = [_entrant(name, tuple(overrides), ddl_preset) for name in dict.fromkeys(names)]
    if all(entrant.config is None for entrant in found):
        raise UserError(f"{found[0].about.title}: {found[0].error}", found[0].code)
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


def _entrant(name: str, overrides: tuple[str, ...], ddl_preset: str) -> Entrant:
    about, preset = _about(name, ddl_preset)
    try:
        config = configs.load(preset, overrides=overrides)
    except UserError as error:
        return Entrant(name, about, preset, overrides, None, str(error), error.exit_code)
    return Entrant(name, about, preset, overrides, config)


def _about(name: str, ddl_preset: str) -> tuple[Method, str]:
    if name != DDL:
        return zoo.get(name).METHOD, name
    from keras_ddl.networks.zoo.method import Method

    return Method(title="DDL", row="DDL", temporal=True, preset=PRESETS[ddl_preset]), ddl_preset
