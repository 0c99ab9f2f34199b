"""Scores of a run on splits of prepared clips, with all that tables and reports say."""

from __future__ import annotations

import csv
import io
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_ddl.config import TrainConfig
from keras_ddl.data.pipeline import clip_dataset
from keras_ddl.data.prepared import read_split, read_summary
from keras_ddl.data.pseudo_fakes.rows import judging_mode
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.faces.map_kind import GRAD_CAM
from keras_ddl.edge.measured import Measured, MethodRate
from keras_ddl.edge.values import spreadsheet_cell
from keras_ddl.evaluation.breakdown import DATASET, breakdown
from keras_ddl.evaluation.calibration import (
    ece,
    margins_from_logits,
    nll,
    probabilities_from_margins,
)
from keras_ddl.evaluation.clip_scores import Scores
from keras_ddl.evaluation.false_alarms import false_alarms
from keras_ddl.evaluation.localisation import View, localisation
from keras_ddl.evaluation.pairs import paired
from keras_ddl.evaluation.probes import probe
from keras_ddl.evaluation.results import SetResult
from keras_ddl.evaluation.split_scores import fates, split_logits

if TYPE_CHECKING:
    from keras_ddl.framework import keras


MADE = "fakes made of its reals"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Subject:
    """A run whose network is to be judged.

    Args:
        run: Its folder.
        model: The network.
        config: The training's configuration.
        spec: Gives threshold and temperature.
        fingerprint: Of the prepared clips that it was trained on.
    """

    run: Path
    model: keras.Model
    config: TrainConfig
    spec: ClipSpec
    fingerprint: str

    @cached_property
    def views(self) -> tuple[View, ...]:
        """The maps that can be drawn of the network."""
        return views(self.model)


@dataclass(frozen=True)
class ScoredSet:
    """Split with what the network says about it.

    Args:
        name: What tables call it.
        clips: Gives uint8 clips (T, S, S, 3), RGB, by number.
        margins: float64, (N,), logit of fake minus logit of real, before any temperature.
        scores: The clips' probabilities, after the temperature.
        result: Its part of `test.json`.
    """

    name: str
    clips: Any
    margins: np.ndarray
    scores: Scores
    result: SetResult


class MadeClips:
    """The clips of a split with pseudo-fakes, as the network was shown them, by number.

    Args:
        prepared: Folder of prepared clips.
        split: `train`, `val` or `test`.
        mode: How fakes are made, see `pseudo_fakes.MODES`.
    """

    def __init__(self, prepared: Path, split: str, mode: str) -> None:
        self._prepared, self._split, self._mode = prepared, split, mode

    def __getitem__(self, number: int) -> np.ndarray:
        """Return one clip, uint8 (T, S, S, 3)."""
        one = clip_dataset(self._prepared, self._split, 1, pseudo=self._mode, only=[int(number)])
        clip: np.ndarray = next(iter(one))[0][0].numpy()
        return clip


def score(subject: Subject, folders: Sequence[Path], split: str = "test") -> tuple[ScoredSet, ...]:
    """Score a split of each of some prepared clips; of one class alone, what it defines."""
    named = zip(folders, _names(folders, split), strict=True)
    return tuple(_score(subject, folder, split, name) for folder, name in named)


def _score(subject: Subject, folder: Path, split: str, name: str) -> ScoredSet:
    spec = subject.spec
    pseudo = subject.config.pseudo_fakes
    data, logits = split_logits(subject.model, folder, split, pseudo)
    mode = judging_mode(read_split(folder, split), pseudo)
    clips = MadeClips(folder, split, mode) if mode else data.clips
    name = f"{name}, {MADE}" if mode else name
    margins = margins_from_logits(logits)
    before = probabilities_from_margins(margins)
    scores = Scores(data.keys, data.labels, probabilities_from_margins(margins, spec.temperature))
    both = all(scores.counts())
    fingerprint = read_summary(folder)["fingerprint"]
    pointing: dict[str, Any] = {
        "grad_cam" if view.kind is GRAD_CAM else "localisation": localisation(view, data, folder)
        for view in subject.views
    }
    result = SetResult(
        **vars(breakdown(scores, spec.threshold)),
        name=name,
        split=split,
        threshold=spec.threshold,
        fingerprint=fingerprint,
        trained_on=fingerprint == subject.fingerprint,
        ece_before=ece(data.labels, before) if both else None,
        ece_after=ece(data.labels, scores.probabilities) if both else None,
        nll_before=nll(data.labels, margins) if both else None,
        nll_after=nll(data.labels, margins, spec.temperature) if both else None,
        videos=fates(data),
        false_alarms=false_alarms(scores.videos(), data.videos, spec.threshold),
        pairs=paired(scores.videos(), data.videos),
        probes=probe(subject.model, data, spec.margin, _limit(spec)),
        **pointing,
    )
    return ScoredSet(name, clips, margins, scores, result)


def _limit(spec: ClipSpec) -> float:
    """The threshold as log-odds before the temperature."""
    return spec.temperature * math.log(spec.threshold / (1 - spec.threshold))


def _names(folders: Sequence[Path], split: str) -> list[str]:
    """Call each set by its datasets, and by its folder too where two would be called alike."""
    named = [
        ", ".join(dict.fromkeys(key[DATASET] for key in read_split(folder, split).keys))
        for folder in folders
    ]
    return [
        name if named.count(name) == 1 else f"{name} ({folder.name})"
        for name, folder in zip(named, folders, strict=True)
    ]


def views(model: keras.Model) -> tuple[View, ...]:
    """Return the maps that can be drawn of a network: its own where it has one, and Grad-CAM."""
    from keras_ddl.networks.grad_cam import GradCam
    from keras_ddl.networks.model import map_kind, with_inconsistency_map

    found, kind, grid = [], map_kind(model), model.input_shape[2] // 8
    if kind is not None:
        with_map = with_inconsistency_map(model)
        grid = with_map.output_shape[1][-1]

        def heat(clip: np.ndarray) -> np.ndarray:
            return np.asarray(with_map(clip[None], training=False)[1][0], np.float32)

        found.append(View(kind, heat))
    try:
        cam = GradCam(model)
    except ValueError as error:
        _log.warning("no Grad-CAM: %s", error)
        return tuple(found)
    found.append(View(GRAD_CAM, lambda clip: cam(clip[None])[0], cam.features.layer, grid))
    return tuple(found)


def measured_of(found: SetResult) -> Measured | None:
    """What a bundle carries of a test set; None of fakes alone, which show no false alarm."""
    if not found.false_alarms:
        return None
    alarms, ends = found.false_alarms[0], found.intervals["video"].get("auc")
    digits = 4
    return Measured(
        name=found.name,
        trained_on=found.trained_on,
        reals=int(found.video["real"]),
        fakes=int(found.video["fake"]),
        auc=None if ends is None else round(found.video["auc"], digits),
        auc_interval=None if ends is None else (round(ends[0], digits), round(ends[1], digits)),
        false_alarms=round(alarms.rate, digits),
        false_alarms_interval=(round(alarms.low, digits), round(alarms.high, digits)),
        methods=_method_rates(found, digits),
    )


def _method_rates(found: SetResult, digits: int) -> tuple[MethodRate, ...]:
    """Every method by itself, none where there is but one; of several datasets with their names."""
    known = [row for row in found.methods if row.video is not None]
    if len(found.methods) < 2:
        return ()
    several = len({row.names["dataset"] for row in known}) > 1
    rates = []
    for row in known:
        words = [row.names["dataset"] if several else "", row.names["method"]]
        low, high = row.intervals["video"]["auc"]
        video = row.video or {}
        rates.append(
            MethodRate(
                method=" ".join(filter(None, [*words, row.names.get("compression", "")])),
                fakes=int(video["fake"]),
                auc=round(video["auc"], digits),
                auc_interval=(round(low, digits), round(high, digits)),
            )
        )
    return tuple(rates)


def scores_table(sets: Sequence[ScoredSet]) -> str:
    """Every clip's probability and margin, as `test_scores.csv` holds them."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    heads = ("dataset", "method", "compression", "video", "label", "fake_probability")
    writer.writerow(("set", *heads, "margin"))
    for scored in sets:
        scores = scored.scores
        columns = (scores.labels.tolist(), scores.probabilities.tolist(), scored.margins.tolist())
        for key, *numbers in zip(scores.keys, *columns, strict=True):
            names = map(spreadsheet_cell, (scored.name, *key))
            writer.writerow((*names, *numbers))
    return text.getvalue()
