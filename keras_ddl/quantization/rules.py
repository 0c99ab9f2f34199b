"""Rules for which layers compute in int8: one table, read from top to bottom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch


@dataclass(frozen=True)
class Rule:
    """What happens to the layers of a name.

    Args:
        pattern: Of the layer's name, with `*`.
        int8: Round its kernels and its inputs; False leaves it in floating point.
        why: In a few words.
    """

    pattern: str
    int8: bool
    why: str


# DFDC and MSA are one layer each here; what stays float inside them (scores, top-k, min-max,
# sigmoids) is written in the layers.
RULES = (
    Rule("logits", False, "the answer itself, from one position"),
    Rule("attention_*", False, "works on one position, and a sigmoid follows"),
    Rule("localise", False, "one channel, shown to people"),
    Rule("*", True, "everything that multiplies much"),
)


def decide(name: str, rules: Sequence[Rule] = RULES) -> Rule:
    """Return the first rule that a layer's name fits; a name that fits none stays float."""
    for rule in rules:
        if fnmatch(name, rule.pattern):
            return rule
    return Rule(name, False, "no rule names it")


def with_floats(patterns: Sequence[str]) -> tuple[Rule, ...]:
    """Return the table with more layers in floating point, as `--keep-float` asks."""
    return (*(Rule(pattern, False, "asked for") for pattern in patterns), *RULES)
