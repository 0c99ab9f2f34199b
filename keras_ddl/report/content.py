"""Content of a report, gathered before a line of it is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from keras_ddl.edge.pages import Table
from keras_ddl.evaluation.clip_scores import Scores
from keras_ddl.evaluation.results import SetResult
from keras_ddl.report.run_facts import RunFacts

if TYPE_CHECKING:
    from markupsafe import Markup

Heat = Callable[[np.ndarray], np.ndarray]
"""From a clip, uint8 (T, S, S, 3), to its inconsistency map, float (T, h, w) in [0, 1]."""


@dataclass(frozen=True)
class ScoredSet:
    """Test split with what the network says about it.

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


class Related(NamedTuple):
    """Section on what another command found on the same data.

    Args:
        title: Its heading.
        about: What was done, as HTML.
        tables: Each with a heading and a note above it, "" for none.
    """

    title: str
    about: Markup
    tables: list[tuple[str, str, Table]]


@dataclass(frozen=True)
class Content:
    """All that a report shows.

    Args:
        facts: What the run's files say; the spec carries threshold and temperature.
        sets: The test sets.
        heat: Computes inconsistency maps; None where the network has none.
        related: Further sections, of other commands.
    """

    facts: RunFacts
    sets: tuple[ScoredSet, ...]
    heat: Heat | None
    related: tuple[Related, ...]
