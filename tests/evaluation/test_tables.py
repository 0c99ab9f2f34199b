"""The tables as text."""

from __future__ import annotations

from keras_ddl.evaluation.tables import label, table

LEVEL = {"accuracy": 0.5, "auc": 0.25, "f1": 1.0, "real": 3, "fake": 4}
PLAIN = {"split": "test", "threshold": 0.4, "clip": LEVEL, "video": LEVEL, "videos": {"ok": 7}}


def row(method: str, missing: str = "") -> dict:
    names = {"dataset": "FaceForensics++", "compression": "c23", "method": method}
    return {**names, "missing": missing, "video": None if missing else LEVEL}


def test_levels_and_counts() -> None:
    assert [line.split() for line in table(PLAIN).splitlines()[1:]] == [
        ["level", "ACC", "AUC", "F1", "real", "fake"],
        ["clip", "0.5000", "0.2500", "1.0000", "3", "4"],
        ["video", "0.5000", "0.2500", "1.0000", "3", "4"],
    ]


def test_methods_go_by_the_papers_names_and_gaps_say_why() -> None:
    rows = [row("NeuralTextures"), row("my-method"), row("FaceSwap", "0 real and 4 fake videos")]
    lines = table({**PLAIN, "methods": rows, "videos": {"ok": 7, "no face": 2}}).splitlines()
    assert lines[4:] == [
        "videos by method:",
        "  FaceForensics++ c23 NT         ACC 0.5000  AUC 0.2500  F1 1.0000",
        "  FaceForensics++ c23 my-method  ACC 0.5000  AUC 0.2500  F1 1.0000",
        "  FaceForensics++ c23 FS         0 real and 4 fake videos",
        "videos without a score: 2 no face",
    ]


def test_one_row_says_nothing_new() -> None:
    assert table({**PLAIN, "methods": [row("FaceSwap")]}) == table(PLAIN)


def test_labels_leave_out_what_is_not_named() -> None:
    assert label({"dataset": "d"}) == "d"
    assert label({"dataset": "d", "compression": "", "method": "Deepfakes"}) == "d DF"
