"""Content of a report, gathered before a line of it is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from keras_ddl.edge.pages import Table
from keras_ddl.evaluation.localisation import View
from keras_ddl.evaluation.score_sets import ScoredSet
from keras_ddl.report.run_facts import RunFacts

if TYPE_CHECKING:
    from markupsafe import Markup


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
        views: The maps to show of a clip; none where the network is not at hand.
        related: Further sections, of other commands.
    """

    facts: RunFacts
    sets: tuple[ScoredSet, ...]
    views: tuple[View, ...]
    related: tuple[Related, ...]
