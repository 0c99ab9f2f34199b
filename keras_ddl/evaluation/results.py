"""Results of an evaluation and of a robustness measurement, as `test.json` and `robustness.json`
hold them; docs/evaluation.md describes the former."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from keras_ddl.edge.files import read_json
from keras_ddl.evaluation.false_alarms import FalseAlarms
from keras_ddl.evaluation.localisation import LocalisationResult
from keras_ddl.evaluation.operating_point import OperatingPoint
from keras_ddl.evaluation.pairs import PairedResult
from keras_ddl.evaluation.probes import ProbeResult

TEST = "test.json"
VALIDATION = "validation.json"
"""Like `test.json`, of the clips that a recipe may be chosen on."""
ROBUSTNESS = "robustness.json"
UNTOUCHED = "none"
"""The family of the condition in which nothing is done to the videos, at level 0."""

Numbers = Mapping[str, Any]
"""What `metrics.known_numbers` gives: metrics in [0, 1], None where one class alone leaves one
undefined, and the counts `real` and `fake`."""
ONE_CLASS = "not defined: only one class"
Intervals = Mapping[str, Mapping[str, Sequence[float]]]
"""By level, `clip` or `video`, and metric the two ends of what holds 95 % of the resamples."""


@dataclass(frozen=True)
class GroupResult:
    """Results of a dataset, or of one compression or method of it.

    Args:
        names: `dataset`, and `compression` and `method` where the group is one of them.
        missing: Why there are no numbers, "" where there are.
        clip, video: The numbers of either level, None where a class is absent.
        intervals: Theirs; empty where a class is absent.
    """

    names: Mapping[str, str]
    missing: str
    clip: Numbers | None
    video: Numbers | None
    intervals: Intervals

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> GroupResult:
        """Take a row of `datasets`, `compressions` or `methods`."""
        names = {key: found[key] for key in ("dataset", "compression", "method") if key in found}
        numbers = (found["clip"], found["video"])
        return cls(names, found["missing"], *numbers, found.get("intervals", {}))

    def to_json(self) -> dict[str, Any]:
        """Return such a row."""
        row = {**self.names, "missing": self.missing, "clip": self.clip, "video": self.video}
        return row if self.missing else {**row, "intervals": self.intervals}


@dataclass(frozen=True)
class SplitResult:
    """Results of a split as a whole.

    Args:
        split: `train`, `val` or `test`.
        threshold: Probability at and above which a clip or video is fake.
        clip, video: The numbers of either level; a video's score is the mean of its clips'.
        videos: How many videos by what became of them: `ok`, or why they have no score.
    """

    split: str
    threshold: float
    clip: Numbers
    video: Numbers
    videos: Mapping[str, int]

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> SplitResult:
        """Take what `metrics.json` keeps of the validation."""
        return cls(**{field.name: found[field.name] for field in fields(cls)})


@dataclass(frozen=True)
class Breakdown:
    """Results of one test set by every grouping.

    Args:
        clip, video: The numbers of either level; a video's score is the mean of its clips'.
        intervals: Theirs.
        video_median, video_topk: The numbers of videos scored in other ways.
        confusion: Videos by truth and verdict; see `metrics.Confusion`.
        datasets, compressions, methods: A row per group; a method stands against the reals of its
            dataset and compression.
    """

    clip: Numbers
    video: Numbers
    intervals: Intervals
    video_median: Numbers
    video_topk: Numbers
    confusion: Mapping[str, int]
    datasets: tuple[GroupResult, ...]
    compressions: tuple[GroupResult, ...]
    methods: tuple[GroupResult, ...]

    def groups(self) -> dict[str, tuple[GroupResult, ...]]:
        """Return the rows by what they group by."""
        return {kind: getattr(self, kind) for kind in _GROUPS}


_GROUPS = ("datasets", "compressions", "methods")
_LISTS: dict[str, Any] = {
    "false_alarms": FalseAlarms,
    "pairs": PairedResult,
    "probes": ProbeResult,
}
_POINTING = ("localisation", "grad_cam")
_ABOUT = ("name", "split", "threshold", "fingerprint", "trained_on")


@dataclass(frozen=True, kw_only=True)
class SetResult(Breakdown):
    """All that `test.json` says about one test set.

    Args:
        name: What tables call it.
        split: `test`, or `val` where a recipe is chosen.
        threshold: Probability at and above which a clip or video is fake.
        fingerprint: Of the prepared clips.
        trained_on: Whether the network was trained on the same dataset.
        ece_before, ece_after: Expected calibration error of clips, at temperature 1 and the run's;
            None where there is one class only.
        nll_before, nll_after: Their mean negative log-likelihood in nats, likewise.
        videos: How many videos by what became of them: `ok`, or why they have no score.
        false_alarms: Reals called fake, all and by source.
        pairs: Fakes against their own originals, by method.
        probes: Reals that something harmless happened to.
        localisation: How well the network's own map points at forgeries; None where it has none
            or the clips were prepared without surroundings.
        grad_cam: How well Grad-CAM does, on the same fakes; None without surroundings.
    """

    name: str
    split: str
    threshold: float
    fingerprint: str
    trained_on: bool
    ece_before: float | None
    ece_after: float | None
    nll_before: float | None
    nll_after: float | None
    videos: Mapping[str, int]
    false_alarms: tuple[FalseAlarms, ...] = ()
    pairs: tuple[PairedResult, ...] = ()
    probes: tuple[ProbeResult, ...] = ()
    localisation: LocalisationResult | None = None
    grad_cam: LocalisationResult | None = None

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> SetResult:
        """Take a set of `test.json`."""
        values = {field.name: found[field.name] for field in fields(cls) if field.name in found}
        for name, kind_of in _LISTS.items():
            values[name] = tuple(kind_of(**row) for row in found.get(name, ()))
        for name in _POINTING:
            where = found.get(name)
            values[name] = None if where is None else LocalisationResult(**where)
        for kind in _GROUPS:
            values[kind] = tuple(GroupResult.from_json(row) for row in values[kind])
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """Return the set as `test.json` holds it."""
        about = {name: getattr(self, name) for name in _ABOUT}
        groups = {kind: [row.to_json() for row in rows] for kind, rows in self.groups().items()}
        more = {name: [vars(row) for row in getattr(self, name)] for name in _LISTS}
        where = {name: (one := getattr(self, name)) and vars(one) for name in _POINTING}
        return {**about, **vars(self), **groups, **more, **where}

    def pointing(self) -> dict[str, LocalisationResult]:
        """Return by what they are called the maps that were held against masks."""
        found = {"the network's own map": self.localisation, "Grad-CAM": self.grad_cam}
        return {name: where for name, where in found.items() if where is not None}

    def undefined(self) -> str:
        """Return a line on the numbers that one class alone leaves undefined, "" with both."""
        real, fake = self.video["real"], self.video["fake"]
        if real and fake:
            return ""
        return f"{ONE_CLASS} ({real} real and {fake} fake videos): all that compares the two"

    def without_score(self) -> dict[str, int]:
        """Return how many videos have no score, by why."""
        return {why: count for why, count in sorted(self.videos.items()) if why != "ok"}


@dataclass(frozen=True)
class EvaluationResult:
    """All that `test.json` holds.

    Args:
        threshold, temperature: As they were applied.
        calibration: How they were chosen on validation; None where they were not.
        weights_sha256: Of the network.
        sets: The test sets.
    """

    threshold: float
    temperature: float
    calibration: OperatingPoint | None
    weights_sha256: str
    sets: tuple[SetResult, ...]

    @classmethod
    def read(cls, run: Path) -> EvaluationResult | None:
        """Read a run's `test.json`; None where there is none.

        Raises:
            UserError: It is not JSON.
        """
        file = run / TEST
        return cls.from_json(read_json(file)) if file.is_file() else None

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> EvaluationResult:
        """Take the content of the file."""
        sets = tuple(SetResult.from_json(part) for part in found["sets"])
        point = found["calibration"]
        calibration = None if point is None else OperatingPoint(**point)
        return cls(**{**found, "calibration": calibration, "sets": sets})

    def to_json(self) -> dict[str, Any]:
        """Return the content of the file."""
        sets = [part.to_json() for part in self.sets]
        calibration = None if self.calibration is None else asdict(self.calibration)
        return {**vars(self), "calibration": calibration, "sets": sets}


@dataclass(frozen=True)
class ConditionResult:
    """Results of videos damaged in one way.

    Args:
        family: Of the perturbation, a key of `perturb.FAMILIES` or `UNTOUCHED`.
        level: 1 (mild) to 5 (strong), 0 for untouched videos.
        auc, accuracy: Of the videos that gave a score; None where there are none, the AUC where
            they are of one class too.
        scored: Share of the videos that gave a score, in [0, 1].
    """

    family: str
    level: int
    auc: float | None
    accuracy: float | None
    scored: float


@dataclass(frozen=True)
class RobustnessResult:
    """All that `robustness.json` holds.

    Args:
        videos: How many test videos were damaged.
        weights_sha256: Of the network.
        units: By family its `unit` and the `values` of its levels, from 1 up.
        conditions: The results.
    """

    videos: int
    weights_sha256: str
    units: Mapping[str, Mapping[str, Any]]
    conditions: tuple[ConditionResult, ...]

    @classmethod
    def known(cls, run: Path, weights_sha256: str) -> RobustnessResult | None:
        """Return what an earlier measurement found out about these very weights, or None."""
        file = run / ROBUSTNESS
        found = cls.from_json(read_json(file)) if file.is_file() else None
        return found if found and found.weights_sha256 == weights_sha256 else None

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> RobustnessResult:
        """Take the content of the file."""
        conditions = tuple(ConditionResult(**row) for row in found["conditions"])
        return cls(**{**found, "conditions": conditions})

    def to_json(self) -> dict[str, Any]:
        """Return the content of the file."""
        return {**vars(self), "conditions": [vars(condition) for condition in self.conditions]}

    def at(self, family: str, level: int) -> ConditionResult:
        """Return the result of one condition."""
        wanted = (family, level)
        return next(row for row in self.conditions if (row.family, row.level) == wanted)

    def families(self) -> list[str]:
        """Return the families in which videos were damaged."""
        return [*dict.fromkeys(row.family for row in self.conditions if row.level)]

    def levels(self) -> list[int]:
        """Return the levels at which they were, mildest first."""
        return sorted({row.level for row in self.conditions if row.level})
