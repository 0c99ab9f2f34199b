"""A report finds the ablation and the comparison of its own data, and no other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keras_ddl.comparison.related_results import related_results
from keras_ddl.edge.pages import render
from keras_ddl.report import page as report
from keras_ddl.report.paper import paper_ablation, paper_manipulation


def write(file: Path, content: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(content))


def trained(variant: str, auc: float, **tested: Any) -> dict[str, Any]:
    """A cell of `ablation.json` with the methods Deepfakes (AUC as of all) and FaceSwap (0.5)."""
    video = {"accuracy": 0.75, "auc": auc}
    names = {"dataset": "FaceForensics++", "compression": "c23"}
    swap = {**names, "method": "FaceSwap", "video": {"auc": 0.5}}
    test = {
        **{"clip": video, "video": video, "intervals": {}, "videos": {}, "fingerprint": ""},
        "datasets": ["FaceForensics++"],
        "methods": [{**names, "method": "Deepfakes", "video": video}, swap],
    }
    return {
        **{"dataset": "FaceForensics++", "backbone": "xception", "variant": variant, "seed": 0},
        **{"run": "a", "parameters": 1},
        "result": {
            **{"best_epoch": 1, "training_seconds": 1.0, "weights_sha256": ""},
            **{"validation_video_auc": 0.5, "threshold": 0.5, "temperature": 1.0},
            "test": {**test, **tested},
        },
    }


def beside(run: Path, datasets: list[str]) -> list[str]:
    """The sections as the report shows them."""
    templates = Path(report.__file__).parent / "templates"
    found = related_results(run, datasets)
    return [render(templates, "related.html", section=section) for section in found]


def section(tmp_path: Path, *cells: dict[str, Any], of: str = "FaceForensics++") -> str:
    """What a report on a dataset says of an ablation with these cells."""
    found = {"about": "xception <b>, 9 epochs.", "cells": cells}
    write(tmp_path / "ablation" / "ablation.json", found)
    (page,) = beside(tmp_path / "run", [of])
    return page


def rows(page: str, name: str) -> list[str]:
    """The rows of a table, without tags but for a bar between cells."""
    table = page.partition(f'<table class="{name}">')[2].partition("</table>")[0]
    parts = table.replace("</th>", "|").replace("</td>", "|").split("</tr>")
    text = ["".join(piece.rpartition(">")[2] for piece in part.split("<")) for part in parts]
    return [line for line in text if line]


def test_nothing_where_nothing_lies(tmp_path: Path) -> None:
    assert beside(tmp_path / "run", ["DFDC"]) == []


def test_networks_and_methods_as_mean_and_deviation_with_the_paper_beneath(tmp_path: Path) -> None:
    cells = [trained("none", 0.6), trained("none", 0.8), trained("both", 0.9), trained("both", 0.9)]
    page = section(tmp_path, *cells)
    assert "xception &lt;b&gt;, 9 epochs." in page
    head, plain, both = rows(page, "ablation")
    assert head == "network|FaceForensics++ ACC|FaceForensics++ AUC|"
    # 0.6 and 0.8: mean 0.7, sample deviation 0.1 · √2
    assert plain == "xception|0.7500± 0.0000paper 0.9679|0.7000± 0.1414paper 0.9764|"
    assert both == "xception + DFDC + MSA|0.7500± 0.0000paper 0.9893|0.9000± 0.0000paper 0.9929|"
    head, place, plain, both = rows(page, "manipulations")
    assert (head, place) == ("AUC of videos|DF|FS|", "FaceForensics++, xception|")
    assert plain == "plain|0.7000± 0.1414paper 0.9458|0.5000± 0.0000paper 0.9242|"
    assert both.startswith("+ DFDC + MSA|0.9000± 0.0000paper 0.9743|")


def test_a_method_at_two_compressions_is_two_columns(tmp_path: Path) -> None:
    """A network can tell compressions apart: their videos are not held against each other."""
    one = trained("none", 0.9)
    c23, c40 = (
        {**one["result"]["test"]["methods"][0], "compression": name} for name in ("c23", "c40")
    )
    one["result"]["test"]["methods"] = [c23, {**c40, "video": {"auc": 0.625}}]
    head, _, plain = rows(section(tmp_path, one), "manipulations")
    assert head == "AUC of videos|c23 DF|c40 DF|"
    assert plain == "plain|0.9000paper 0.9458|0.6250paper 0.9458|"


def test_other_data_have_no_paper_and_one_method_no_second_table(tmp_path: Path) -> None:
    swap = {"dataset": "ours", "method": "swap", "compression": "", "video": {"auc": 0.9}}
    page = section(tmp_path, trained("msa", 0.9, datasets=["ours"], methods=[swap]), of="ours")
    assert "0.9000" in page and "paper 0" not in page and "manipulations" not in page


def test_a_column_that_names_its_folder_too_has_the_paper_beneath(tmp_path: Path) -> None:
    one = {**trained("none", 0.9), "dataset": "FaceForensics++ (c23)"}
    assert "paper 0.9679" in section(tmp_path, one)


def test_the_ablation_of_the_same_data_and_of_the_run_itself(tmp_path: Path) -> None:
    cell = trained("none", 0.8125, datasets=["DFDC"])
    write(tmp_path / "ablation" / "ablation.json", {"about": "", "cells": [cell]})
    assert beside(tmp_path / "run", ["Celeb-DF-v2"]) == []
    (page,) = beside(tmp_path / "run", ["Celeb-DF-v2", "DFDC"])
    assert "<td>0.8125<small>paper 0.8978</small>" in page
    (own,) = beside(tmp_path / "ablation" / "set" / "xception-none-seed0", ["DFDC"])
    assert own == page


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


def test_the_comparison_of_the_same_data(
    tmp_path: Path, made_up: Callable[..., dict[str, Any]]
) -> None:
    found = made_up({"x": ("X & Y", 2.0, {"Celeb-DF-v2": 0.95, "DFDC": "broke"})})
    write(tmp_path / "compare" / "comparison.json", found)
    assert beside(tmp_path / "run", ["DFDC"]) == []  # nobody has a result there
    (section,) = beside(tmp_path / "run", ["Celeb-DF-v2"])
    assert "X &amp; Y" in section and "<td>0.9500<small>" in section and "<h3>DFDC" not in section


def test_a_run_of_a_comparison_shows_that_one(
    tmp_path: Path, made_up: Callable[..., dict[str, Any]]
) -> None:
    found = made_up({"x": ("X", 2.0, {"DFDC": 0.75})})
    write(tmp_path / "mine" / "comparison.json", found)
    (section,) = beside(tmp_path / "mine" / "set" / "x", ["DFDC"])
    assert "<td>0.7500<small>" in section and str(tmp_path / "mine" / "comparison.html") in section
