"""`TrainConfig` and its presets: everything that decides a training run, as data."""

from __future__ import annotations

import argparse
import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from keras_ddl.clipspec import ClipSpec
from keras_ddl.data.changes import Augment, SelfBlend
from keras_ddl.data.synthetic import DEFAULT_DIFFICULTY
from keras_ddl.errors import MISSING, UserError
from keras_ddl.presets import PRESETS

MODULES = ("dfdc", "msa")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
PSEUDO = ("", "steady", "temporal")
DEFAULT_PRESET = "cpu"


@dataclass(frozen=True)
class TrainConfig:
    """One training run. The defaults are the paper's; presets and the user change them.

    Args:
        preset: Name of the preset this configuration started from.
        backbone: Network that the modules go into.
        modules: Which of `dfdc` and `msa`; empty is the plain backbone.
        keep: DFDC's rule for how many positions survive: `paper`, `released` or a number.
        width: Factor on the backbone's channel counts.
        weights: Start weights of the backbone: empty, `imagenet` or a file.
        frames: Frames per clip, a multiple of 4.
        size: Side of the square crops, pixels.
        interval_ms: Time between the frames of a clip, milliseconds.
        margin: Side of the crop over the side of the face box.
        smoothing: Weight of the past in the smoothed face box.
        detector: Face detector that cuts the crops: `auto`, `yunet` or `haar`.
        clips_per_video: Clips sampled from each video, evenly over its length.
        batch: Clips per step.
        epochs: Passes over the training clips.
        learning_rate: Adam's, at the start.
        halve_every: Epochs after which the learning rate is halved; 0 = never.
        clip_norm: Largest norm of all gradients together; larger ones are scaled down. 0 = none.
        ema: Momentum of the optimiser's moving average of the weights, which is then what
            validation judges and the run keeps. 0 = none.
        precision: Of the arithmetic: `float32`, `mixed_float16` (with loss scaling) or
            `mixed_bfloat16`. Weights stay float32.
        xla: Compile the training step with XLA.
        deterministic: Repeat to the bit on the same machine; slower.
        twins: Keep clips of the same people side by side in a batch, augmented alike: a fake and
            its original then differ by the forgery alone (see `data.pipeline.twin_groups`).
        balance: Draw as many reals as fakes, and as many of each method.
        pseudo_fakes: Learn from reals and fakes made of them: empty, `steady` or `temporal` (see
            `keras_ddl.data.pseudo_fakes`); the set's own fakes are left out in training and
            validation.
        seed: Of weights, shuffling and augmentation.
        flip: Mirror clips at random.
        brightness: Largest shift of brightness, share of the full range.
        contrast: Largest relative change of contrast.
        saturation: Largest relative change of saturation.
        shift: Largest shift of the crop, share of its side.
        zoom: Largest relative enlargement of the crop.
        jpeg, h264, blur, noise, cutout: Share of clips that are changed so, see `data.augment`.
        synthetic_videos: Videos per class in train, val and test of the generated set, used
            where no data is named.
        synthetic_difficulty: Of the generated set, 0 (easy) to 1 (hard).
        synthetic_seed: Of the generated set.

    Raises:
        ValueError: On a value outside its range.
    """

    preset: str = ""
    backbone: str = "compact_xception"
    modules: tuple[str, ...] = MODULES
    keep: int | str = "paper"
    width: float = 1.0
    weights: str = ""
    frames: int = 8
    size: int = 256
    interval_ms: float = 40.0
    margin: float = 1.3
    smoothing: float = 0.6
    detector: str = "auto"
    clips_per_video: int = 8
    batch: int = 12
    epochs: int = 20
    learning_rate: float = 1e-3
    halve_every: int = 8
    clip_norm: float = 0.0
    ema: float = 0.0
    precision: str = "float32"
    xla: bool = False
    deterministic: bool = False
    twins: bool = False
    balance: bool = False
    pseudo_fakes: str = ""
    seed: int = 0
    flip: bool = True
    brightness: float = 0.1
    contrast: float = 0.1
    saturation: float = 0.0
    shift: float = 0.03
    zoom: float = 0.0
    jpeg: float = 0.0
    h264: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    cutout: float = 0.0
    synthetic_videos: tuple[int, ...] = (60, 20, 30)
    synthetic_difficulty: float = DEFAULT_DIFFICULTY
    synthetic_seed: int = 0

    def __post_init__(self) -> None:
        self.spec()  # validates frames, size, interval, margin and smoothing
        for name in ("width", "clips_per_video", "batch", "epochs", "learning_rate"):
            self._check(name, getattr(self, name) > 0, "more than 0")
        for name in ("halve_every", "brightness", "contrast", "saturation", "shift", "zoom"):
            self._check(name, getattr(self, name) >= 0, "0 or more")
        for name in ("seed", "synthetic_seed", "clip_norm"):
            self._check(name, getattr(self, name) >= 0, "0 or more")
        for name in ("jpeg", "h264", "blur", "noise", "cutout"):
            self._check(name, 0 <= getattr(self, name) <= 1, "0 to 1")
        self._check("pseudo_fakes", self.pseudo_fakes in PSEUDO, f"one of {', '.join(PSEUDO[1:])}")
        self._check("ema", 0 <= self.ema < 1, "0 to below 1")
        self._check("precision", self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}")
        self._check("twins", not (self.twins and self.balance), "not together with balance")
        self._check("shift", self.shift < 0.5, "less than 0.5")
        self._check("modules", set(self.modules) <= set(MODULES), f"some of {', '.join(MODULES)}")
        counts = self.synthetic_videos
        self._check(
            "synthetic_videos",
            len(counts) == 3 and min(counts) > 0,
            "three counts (train, val, test), each more than 0",
        )

    def _check(self, name: str, good: bool, expected: str) -> None:
        if not good:
            raise ValueError(f"{name}: expected {expected}, received {getattr(self, name)!r}")

    def spec(self) -> ClipSpec:
        """Return what a clip is under this configuration."""
        return ClipSpec(
            frames=self.frames,
            interval_ms=self.interval_ms,
            size=self.size,
            margin=self.margin,
            smoothing=self.smoothing,
        )

    def augment(self) -> Augment:
        """Return how far clips are changed in training."""
        return Augment(**{f.name: getattr(self, f.name) for f in fields(Augment)})

    def pseudo(self) -> SelfBlend | None:
        """Return how fakes are made of reals, where they are."""
        if not self.pseudo_fakes:
            return None
        return SelfBlend(temporal=self.pseudo_fakes == "temporal", margin=self.margin)

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as JSON-able values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
        """Build from `to_dict`'s values or a subset; unknown keys and wrong types are errors."""
        kinds = {f.name: str(f.type) for f in fields(cls)}
        checked = {}
        for key, value in values.items():
            if key not in kinds:
                raise UserError(_unknown("config key", key, kinds))
            checked[key] = _coerced(key, value, kinds[key])
        try:
            return cls(**checked)
        except ValueError as error:
            raise UserError(str(error)) from error


def load(
    preset: str = DEFAULT_PRESET, file: Path | None = None, overrides: Sequence[str] = ()
) -> TrainConfig:
    """Build a configuration: the preset, then the file, then the overrides.

    Args:
        preset: A name in `PRESETS`.
        file: A TOML file of top-level `key = value` lines; it may name a `preset` itself.
        overrides: `key=value` strings; lists are comma-separated, `modules=none` is empty.

    Raises:
        UserError: On an unknown preset, key or file, or a value of the wrong type.
    """
    from_file = _read_toml(file) if file else {}
    preset = str(from_file.pop("preset", preset))
    if preset not in PRESETS:
        raise UserError(_unknown("preset", preset, PRESETS))
    values = {**PRESETS[preset].values, **from_file}
    for item in overrides:
        key, equals, text = item.partition("=")
        if not equals:
            raise UserError(f"--set: expected key=value, received {item!r}")
        values[key.strip()] = text.strip()
    return TrainConfig.from_dict({**values, "preset": preset})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--preset`, `--config` and `--set` to a command."""
    group = parser.add_argument_group("configuration")
    known = ", ".join(f"{name} ({preset.hardware})" for name, preset in PRESETS.items())
    group.add_argument(
        "--preset", default=DEFAULT_PRESET, metavar="NAME", help=f"{known}; default %(default)s"
    )
    group.add_argument("--config", type=Path, metavar="FILE.toml", help="settings over the preset")
    group.add_argument(
        "--set",
        dest="overrides",
        action="extend",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help=f"single settings over both; keys: {', '.join(f.name for f in fields(TrainConfig))}",
    )


def from_arguments(args: argparse.Namespace) -> TrainConfig:
    """Build the configuration that `add_arguments`' options describe."""
    return load(args.preset, args.config, args.overrides)


def _unknown(what: str, name: str, known: Mapping[str, Any]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
    return f"unknown {what} {name!r}; did you mean {nearest!r}? Known: {', '.join(known)}"


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        import tomllib
    except ImportError:  # Python 3.10
        try:
            import tomli as tomllib
        except ImportError as error:
            raise UserError(
                "--config needs Python 3.11 or the package tomli: pip install tomli; "
                "--set works without",
                MISSING,
            ) from error
    try:
        return dict(tomllib.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise UserError(f"--config: cannot read {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"--config: {file} is not valid TOML: {error}") from error


def _bool(value: Any) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    raise ValueError(value)


def _int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError(value)
    return int(value)


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(value)
    return float(value)


def _str(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(value)
    return value


def _int_or_str(value: Any) -> int | str:
    return _int(value) if str(value).isdigit() or isinstance(value, bool) else _str(value)


def _tuple(item: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    def parse(value: Any) -> tuple[Any, ...]:
        if isinstance(value, str):
            value = [] if value in ("", "none") else [part.strip() for part in value.split(",")]
        if not isinstance(value, (list, tuple)):
            raise ValueError(value)
        return tuple(item(part) for part in value)

    return parse


_KINDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "bool": ("true or false", _bool),
    "int": ("a whole number", _int),
    "float": ("a number", _float),
    "str": ("text", _str),
    "int | str": ("text or a whole number", _int_or_str),
    "tuple[str, ...]": ("a list of names", _tuple(_str)),
    "tuple[int, ...]": ("a list of whole numbers", _tuple(_int)),
}


def _coerced(key: str, value: Any, kind: str) -> Any:
    expected, parse = _KINDS[kind]
    try:
        return parse(value)
    except ValueError as error:
        shown = json.dumps(value, default=str)
        raise UserError(f"config key {key!r}: expected {expected}, received {shown}") from error
