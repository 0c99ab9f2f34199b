"""The section on damaged videos says what the measurement said."""

from __future__ import annotations

import re

from keras_ddl.report.stress import stress_section

FOUND = {
    "videos": 8,
    "units": {
        "JPEG": {"unit": "quality", "values": [90, 70, 50, 30, 10]},
        "lost frames": {"unit": "share lost", "values": [0.02, 0.05, 0.1, 0.2, 0.4]},
    },
    "conditions": [
        {"family": "none", "level": 0, "auc": 0.9, "accuracy": 0.8, "scored": 1.0},
        {"family": "JPEG", "level": 1, "auc": 0.8, "accuracy": 0.8, "scored": 1.0},
        {"family": "JPEG", "level": 5, "auc": 0.5, "accuracy": 0.5, "scored": 1.0},
        {"family": "lost frames", "level": 1, "auc": 0.75, "accuracy": 0.7, "scored": 0.5},
        {"family": "lost frames", "level": 5, "auc": None, "accuracy": None, "scored": 0.0},
    ],
}


def test_the_table_has_every_level_with_its_value_and_what_was_scored() -> None:
    rows = re.findall(r"<tr>(.*?)</tr>", stress_section(FOUND))
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]
    assert cells == [
        ["AUC of videos", "level 1", "level 5"],
        ["JPEG<small>quality</small>", "0.800<small>90</small>", "0.500<small>10</small>"],
        [
            "lost frames<small>share lost</small>",
            "0.750<small>0.02, 50% scored</small>",
            "–<small>0.4, 0% scored</small>",
        ],
    ]


def test_curves_start_untouched_and_leave_out_what_has_no_number() -> None:
    """Axis from 50 to 348 across and 258 to 12 down; AUC 0.9 lies at 258 − 0.9 · 246 = 36.6."""
    curves = re.findall(r'class="curve series(\d)" points="([^"]*)"', stress_section(FOUND))
    assert curves == [
        ("0", "50.0,36.6 109.6,61.2 348.0,135.0"),
        ("1", "50.0,36.6 109.6,73.5"),
    ]


def test_without_a_measurement_it_says_how_to_get_one() -> None:
    text = stress_section(None)
    assert "Not measured" in text and "keras_ddl.robustness" in text and "<table" not in text
