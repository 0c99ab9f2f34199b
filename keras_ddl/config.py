"""Configuration of a training run: everything that decides its result, as data."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from keras_ddl.data.augment_rules import Augment
from keras_ddl.data.pseudo_fakes import MODES
from keras_ddl.data.synthetic import DEFAULT_DIFFICULTY
from keras_ddl.edge.clipspec import CUTTING, ClipSpec
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.values import coerced, read_toml, refuse_quoted, unknown
from keras_ddl.networks import zoo
from keras_ddl.networks.ablations import MODULES
from keras_ddl.presets import PRESETS

PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
SCALINGS = ("linear", "sqrt")
BALANCES = ("sampling", "weights")
SYNC = ("auto", "on", "off")
DEFAULT_PRESET = "cpu"
DDL = "ddl"
FRAMES = "frames"

_POSITIVE = (
    "width",
    "clips_per_video",
    "batch",
    "base_batch",
    "epochs",
    "learning_rate",
    "tuned_rate",
)
_NOT_NEGATIVE = (
    "halve_every",
    "patience",
    "warmup_steps",
    "frozen_epochs",
    "seed",
    "synthetic_seed",
    "clip_norm",
    "localise_weight",
    "brightness",
    "contrast",
    "saturation",
    "shift",
    "zoom",
)
_WORDS = {
    "selection": ("best", "last"),
    "pseudo_fakes": ("", *MODES),
    "scale_lr": ("", *SCALINGS),
    "balance": ("", *BALANCES),
    "sync_batch_norm": SYNC,
    "precision": PRECISIONS,
}


@dataclass(frozen=True)
class TrainConfig(Augment):
    """One training run. The defaults are the paper's; presets and the user change them.

    Nothing in it depends on the machine: `batch` is the number of clips per step over all devices,
    and the same configuration means the same training on one device or many. How far clips are
    changed is inherited from `Augment`.

    Args:
        preset: Name of the preset this configuration started from.
        network: `ddl`, the paper's, which the next four keys describe; `frames`, its backbone
            judging frame by frame; or a comparison method of `keras_ddl.networks.zoo`, for which
            only `width` counts.
        backbone: Network that the modules go into.
        modules: Which of `dfdc` and `msa`; empty is the plain backbone.
        stages: The backbone's stages that get modules, by name; empty is all of them.
        last: The backbone's stage behind which it ends; empty is its own end.
        gamma: γ that new modules start with; with 0, the paper's, they are the identity at first.
        localise: The backbone's stage on which a localisation head stands, which learns from the
            masks of pseudo-fakes where forgeries are; empty is none.
        by_map: Decide by that head's map alone.
        localise_weight: Of its cross-entropy, beside that of the decision.
        keep: DFDC's rule for how many positions survive: `paper`, `released` or a number.
        width: Factor on the network's channel counts.
        weights: What the network starts from: empty, `imagenet` (the backbone), a file of weights
            or of the authors' tensors, or the folder of another run, see `build_network`.
        begin: Preset that is trained first, on the same clips and with the same backbone, into
            RUN/begin; this configuration then starts from it. Empty is none, and so it is where
            `weights` are named.
        frames: Frames per clip, a multiple of 4.
        size: Side of the square crops, pixels.
        interval_ms: Time between the frames of a clip, milliseconds.
        longest_interval_ms: 0, or with `interval_ms` a range of such times, see `ClipSpec`.
        margin: Side of the crop over the side of the face box.
        smoothing: Weight of the past in the smoothed face box.
        detector: Face detector that cuts the crops: `auto`, `yunet` or `haar`.
        clips_per_video: Clips sampled from each video, evenly over its length.
        batch: Clips per step, over all devices.
        epochs: Passes over the training clips.
        patience: Stop after so many epochs without a better validation AUC; 0 = never.
        selection: Whose weights are kept: the `best` epoch's, by validation, or the `last` one's,
            where validation is too small, or of too other a kind, to choose by.
        learning_rate: Adam's, at the start.
        halve_every: Epochs after which the learning rate is halved; 0 = never.
        warmup_steps: Steps over which the learning rate grows from nothing, evenly.
        scale_lr: Multiply the learning rate by batch / `base_batch` (`linear`) or by its square
            root (`sqrt`); empty = take it as it is.
        base_batch: The batch that `learning_rate` was found with.
        single_frames: Learn from one frame of each clip, drawn anew in each pass, where a network
            judges frame by frame: the frames of a clip are nearly alike, and cost as much each.
        frozen_epochs: Train only the modules and the head for so many epochs first, the backbone
            and its batch norm at rest; for backbones that start from trained weights.
        rest_before: The backbone's stage up to which it stays at rest in all epochs: its first
            layers hold what all pictures have in common, and cost the most; empty is none.
        tuned_rate: Factor on the learning rate once the backbone is trained too.
        sync_batch_norm: Batch norm over all devices' clips: `on`, `off`, or `auto`, which is on
            where a device has fewer than 16 clips per step.
        clip_norm: Largest norm of all gradients together; larger ones are scaled down. 0 = none.
        ema: Momentum of the optimiser's moving average of the weights, which is then what
            validation judges and the run keeps. 0 = none.
        precision: Of the arithmetic: `float32`, `mixed_float16` (with loss scaling) or
            `mixed_bfloat16`. Weights stay float32.
        xla: Compile the training step with XLA.
        deterministic: Repeat to the bit on the same machine; slower.
        twins: Keep clips of the same people side by side in a batch, augmented alike: a fake and
            its original then differ by the forgery alone (see `data.pipeline.twin_groups`).
        balance: Empty, `sampling` (draw as many reals as fakes, and as many of each method) or
            `weights` (count both classes alike in the loss).
        mining: Share of each pass that is drawn from the quarter of the videos which the network
            judged worst after the pass before; 0 = none.
        pseudo_fakes: Learn from reals and fakes made of them (`keras_ddl.data.pseudo_fakes`):
            empty, `only`, or `mixed`, which keeps the set's own fakes. Judged by the set's own
            fakes wherever a split has some.
        false_alarms: Share of real videos that `evaluate` lets be called fake when it chooses the
            threshold; 0 chooses by balanced accuracy.
        seed: Of weights, shuffling and augmentation.
        synthetic_videos: Videos per class in train, val and test of the generated set, used
            where no data is named.
        synthetic_difficulty: Of the generated set, 0 (easy) to 1 (hard).
        synthetic_seed: Of the generated set.

    Raises:
        ValueError: On a value outside its range.
    """

    preset: str = ""
    network: str = DDL
    backbone: str = "compact_xception"
    modules: tuple[str, ...] = MODULES
    stages: tuple[str, ...] = ()
    last: str = ""
    gamma: float = 0.0
    localise: str = ""
    by_map: bool = False
    localise_weight: float = 1.0
    keep: int | str = "paper"
    width: float = 1.0
    weights: str = ""
    begin: str = ""
    frames: int = 8
    size: int = 256
    interval_ms: float = 40.0
    longest_interval_ms: float = 0.0
    margin: float = 1.3
    smoothing: float = 0.6
    detector: str = "auto"
    clips_per_video: int = 8
    batch: int = 12
    epochs: int = 20
    patience: int = 0
    selection: str = "best"
    learning_rate: float = 1e-3
    halve_every: int = 8
    warmup_steps: int = 0
    scale_lr: str = ""
    base_batch: int = 12
    single_frames: bool = False
    frozen_epochs: int = 0
    rest_before: str = ""
    tuned_rate: float = 1.0
    sync_batch_norm: str = "auto"
    clip_norm: float = 0.0
    ema: float = 0.0
    precision: str = "float32"
    xla: bool = False
    deterministic: bool = False
    twins: bool = False
    balance: str = ""
    mining: float = 0.0
    pseudo_fakes: str = ""
    false_alarms: float = 0.0
    seed: int = 0
    synthetic_videos: tuple[int, ...] = (60, 20, 30)
    synthetic_difficulty: float = DEFAULT_DIFFICULTY
    synthetic_seed: int = 0

    def __post_init__(self) -> None:
        self.spec()  # validates frames, size, interval, margin and smoothing
        for name in _POSITIVE:
            self._check(name, getattr(self, name) > 0, "more than 0")
        for name in _NOT_NEGATIVE:
            self._check(name, getattr(self, name) >= 0, "0 or more")
        for name in ("jpeg", "h264", "blur", "noise", "cutout"):
            self._check(name, 0 <= getattr(self, name) <= 1, "0 to 1")
        for name, words in _WORDS.items():
            known = ", ".join(word or "nothing" for word in words)
            self._check(name, getattr(self, name) in words, f"one of {known}")
        self._check("ema", 0 <= self.ema < 1, "0 to below 1")
        self._check("twins", not (self.twins and self.balance == "sampling"), "not with balance")
        self._check("mining", 0 <= self.mining <= 1, "0 to 1")
        self._check("mining", not (self.mining and self.balance == "sampling"), "0 with balance")
        self._check("by_map", bool(self.localise) or not self.by_map, "false without localise")
        self._check("false_alarms", 0 <= self.false_alarms < 0.5, "0 to below 0.5")
        self._check("patience", not self.patience or self.selection == "best", "0 with last")
        self._check("xla", not (self.xla and self.deterministic), "false with deterministic")
        self._check("shift", self.shift < 0.5, "less than 0.5")
        networks = (DDL, FRAMES, *zoo.NAMES)
        self._check("network", self.network in networks, ", ".join(networks))
        if self.single_frames and not self.by_frames():
            raise ValueError(
                f"single_frames: {self.network} looks at frames together; set it to false"
            )
        self._check("modules", set(self.modules) <= set(MODULES), f"some of {', '.join(MODULES)}")
        self._check("frozen_epochs", self.frozen_epochs < self.epochs, f"below {self.epochs}")
        self._check(
            "begin", self.begin in ("", *PRESETS), f"nothing or one of {', '.join(PRESETS)}"
        )
        for name in ("localise", "rest_before"):
            with_backbone = self.network in (DDL, FRAMES) or not getattr(self, name)
            self._check(name, with_backbone, f"nothing with the network {self.network}")
        counts = self.synthetic_videos
        self._check(
            "synthetic_videos",
            len(counts) == 3 and min(counts) > 0,
            "three counts (train, val, test), each more than 0",
        )

    def _check(self, name: str, good: bool, expected: str) -> None:
        if not good:
            raise ValueError(f"{name}: expected {expected}, received {getattr(self, name)!r}")

    def described(self) -> str:
        """Return the network in words, as `compact_xception with DFDC, MSA`."""
        slim = f", width {self.width:g}" if self.width != 1 else ""
        if self.network == FRAMES:
            return f"{self.backbone}{slim} frame by frame"
        if self.network != DDL:
            return self.network + slim
        modules = f"with {', '.join(self.modules).upper()}" if self.modules else "without modules"
        return f"{self.backbone}{slim} {modules}"

    def by_frames(self) -> bool:
        """Return whether the network judges each frame alone."""
        if self.network in (DDL, FRAMES):
            return self.network == FRAMES
        return not zoo.get(self.network).METHOD.temporal

    def spec(self) -> ClipSpec:
        """Return what a clip is under this configuration."""
        return ClipSpec(**{name: getattr(self, name) for name in CUTTING})

    def augment(self) -> Augment:
        """Return how far clips are changed in training."""
        return Augment(**{f.name: getattr(self, f.name) for f in fields(Augment)})

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
                raise UserError(unknown("config key", key, kinds))
            checked[key] = coerced(key, value, kinds[key])
        try:
            return cls(**checked)
        except ValueError as error:
            raise UserError(str(error)) from error


def load(
    preset: str = DEFAULT_PRESET, file: Path | None = None, overrides: Sequence[str] = ()
) -> TrainConfig:
    """Build a configuration: the preset, then the file, then the overrides.

    Args:
        preset: A name in `PRESETS`, or of a method in `keras_ddl.networks.zoo`.
        file: A TOML file of top-level `key = value` lines; it may name a `preset` itself.
        overrides: `key=value` strings; lists are comma-separated, `modules=none` is empty.

    Raises:
        UserError: On an unknown preset, key or file, or a value of the wrong type.
    """
    from_file = read_toml(file, "--set") if file else {}
    preset = str(from_file.pop("preset", preset))
    kinds = {f.name: str(f.type) for f in fields(TrainConfig)}
    for key, value in from_file.items():
        refuse_quoted(key, value, kinds.get(key, ""))
    values = {**_values(preset), **from_file}
    for item in overrides:
        key, equals, text = item.partition("=")
        if not equals:
            raise UserError(f"--set: expected key=value, received {item!r}")
        values[key.strip()] = text.strip()
    return TrainConfig.from_dict({**values, "preset": preset})


def _values(preset: str) -> Mapping[str, Any]:
    if preset in zoo.NAMES:
        return {"network": preset, **zoo.get(preset).METHOD.values}
    if preset not in PRESETS:
        raise UserError(unknown("preset", preset, [*PRESETS, *zoo.NAMES]))
    return PRESETS[preset].values


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--preset`, `--config` and `--set` to a command."""
    group = parser.add_argument_group("configuration")
    known = ", ".join(f"{name} ({preset.hardware})" for name, preset in PRESETS.items())
    others = f"a comparison method's own: {', '.join(zoo.NAMES)}"
    group.add_argument(
        "--preset",
        default=DEFAULT_PRESET,
        metavar="NAME",
        help=f"{known}; or {others}; default %(default)s",
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
