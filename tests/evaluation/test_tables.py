"""The tables as text."""

from __future__ import annotations

from dataclasses import replace

from keras_ddl.evaluation.results import GroupResult, SetResult, SplitResult
from keras_ddl.evaluation.tables import label, table

LEVEL = {"accuracy": 0.5, "auc": 0.25, "f1": 1.0, "real": 3, "fake": 4}
PLAIN = SplitResult(split="test", threshold=0.4, clip=LEVEL, video=LEVEL, videos={"ok": 7})
WHOLE = SetResult(
    **vars(PLAIN),
    intervals={"video": {"accuracy": (0.0, 1.0), "auc": (0.125, 0.5), "f1": (1.0, 1.0)}},
    video_median=LEVEL,
    video_topk=LEVEL,
    confusion={},
    datasets=(),
    compressions=(),
    methods=(),
    name="set",
    fingerprint="",
    trained_on=True,
    ece_before=0.0,
    ece_after=0.0,
    nll_before=0.0,
    nll_after=0.0,
)


def row(method: str, missing: str = "") -> GroupResult:
    names = {"dataset": "FaceForensics++", "compression": "c23", "method": method}
    level = None if missing else LEVEL
    return GroupResult(names, missing, level, level, {})


def test_levels_and_counts() -> None:
    assert [line.split() for line in table(PLAIN).splitlines()[1:]] == [
        ["level", "ACC", "AUC", "F1", "real", "fake"],
        ["clip", "0.5000", "0.2500", "1.0000", "3", "4"],
        ["video", "0.5000", "0.2500", "1.0000", "3", "4"],
    ]


def test_methods_go_by_the_papers_names_and_gaps_say_why() -> None:
    rows = [row("NeuralTextures"), row("my-method"), row("FaceSwap", "0 real and 4 fake videos")]
    lines = table(replace(WHOLE, methods=tuple(rows), videos={"ok": 7, "no face": 2})).splitlines()
    assert lines[4:] == [
        "95% of videos resampled: ACC 0.0000 to 1.0000, AUC 0.1250 to 0.5000, F1 1.0000 to 1.0000",
        "videos by method:",
        "  FaceForensics++ c23 NT         ACC 0.5000  AUC 0.2500  F1 1.0000",
        "  FaceForensics++ c23 my-method  ACC 0.5000  AUC 0.2500  F1 1.0000",
        "  FaceForensics++ c23 FS         0 real and 4 fake videos",
        "videos without a score: 2 no face",
    ]


def test_one_row_says_nothing_new() -> None:
    assert table(replace(WHOLE, methods=(row("FaceSwap"),))) == table(WHOLE)


def test_labels_leave_out_what_is_not_named() -> None:
    assert label(GroupResult({"dataset": "d"}, "", LEVEL, LEVEL, {})) == "d"
    names = {"dataset": "d", "compression": "", "method": "Deepfakes"}
    assert label(GroupResult(names, "", LEVEL, LEVEL, {})) == "d DF"
