"""The two ablation tables of the report: our numbers by hand, the paper's beside them."""

from __future__ import annotations

from typing import Any

import pytest

from keras_ddl.comparison.ablation_section import ablation_section
from keras_ddl.report.paper import paper_ablation, paper_manipulation


def cell(variant: str, auc: float, **more: Any) -> dict[str, Any]:
    return {
        "dataset": "FaceForensics++",
        "datasets": ["FaceForensics++"],
        "backbone": "xception",
        "variant": variant,
        "test": {"video": {"accuracy": 0.75, "auc": auc}},
        "methods": {"Deepfakes": {"accuracy": 0.5, "auc": auc}, "FaceSwap": {"auc": 0.5}},
        **more,
    }


FOUND = {
    "about": "xception <b>, 9 epochs.",
    "cells": [cell("none", 0.6), cell("none", 0.8), cell("both", 0.9), cell("both", 0.9)],
}


def rows(page: str, name: str) -> list[str]:
    """The rows of a table, without tags but for a bar between cells."""
    table = page.partition(f'<table class="{name}">')[2].partition("</table>")[0]
    parts = table.replace("</th>", "|").replace("</td>", "|").split("</tr>")
    text = ["".join(piece.rpartition(">")[2] for piece in part.split("<")) for part in parts]
    return [line for line in text if line]


def test_networks_as_mean_and_deviation_with_the_paper_beneath() -> None:
    head, plain, both = rows(ablation_section(FOUND), "ablation")
    assert head == "network|FaceForensics++ ACC|FaceForensics++ AUC|"
    # 0.6 and 0.8: mean 0.7, sample deviation 0.1 · √2
    assert plain == "xception|0.7500± 0.0000paper 0.9679|0.7000± 0.1414paper 0.9764|"
    assert both == "xception + DFDC + MSA|0.7500± 0.0000paper 0.9893|0.9000± 0.0000paper 0.9929|"


def test_methods_of_forgery_with_the_paper_beneath() -> None:
    head, place, plain, both = rows(ablation_section(FOUND), "manipulations")
    assert head == "AUC of videos|DF|FS|"
    assert place == "FaceForensics++, xception|"
    assert plain == "plain|0.7000± 0.1414paper 0.9458|0.5000± 0.0000paper 0.9242|"
    assert both.startswith("+ DFDC + MSA|0.9000± 0.0000paper 0.9743|")


def test_other_data_have_no_paper_and_one_method_no_second_table() -> None:
    one = cell("msa", 0.9, dataset="ours", datasets=["ours"], methods={"swap": {"auc": 0.9}})
    page = ablation_section({"about": "", "cells": [one]})
    assert "paper 0" not in page and "manipulations" not in page
    assert "<b>" not in ablation_section(FOUND)


@pytest.mark.parametrize(
    ("dataset", "backbone", "variant", "want"),
    [
        ("Celeb-DF-v2", "resnet18", "both", (0.9981, 0.9982)),
        ("DFDC", "xception", "none", (0.8984, 0.8978)),
        ("DFDC", "compact_xception", "none", None),  # not the paper's
        ("Celeb-DF-v1", "xception", "none", None),
    ],
)
def test_the_paper_by_name(dataset: str, backbone: str, variant: str, want: Any) -> None:
    assert paper_ablation(dataset, backbone, variant) == want


def test_the_paper_by_manipulation() -> None:
    assert paper_manipulation("NeuralTextures", "msa") == 0.7724
    assert paper_manipulation("FaceShifter", "msa") is None


def test_a_column_that_names_its_folder_too_has_the_paper_beneath() -> None:
    one = cell("none", 0.9, dataset="FaceForensics++ (c23)")
    assert "paper 0.9679" in ablation_section({"about": "", "cells": [one]})
