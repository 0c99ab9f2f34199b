"""The report read back as a browser would: what it refers to, and what its tables say."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2")
pytest.importorskip("jinja2")

from keras_ddl.config import TrainConfig
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.faces.map_kind import GRAD_CAM, INCONSISTENCY
from keras_ddl.evaluation.breakdown import breakdown
from keras_ddl.evaluation.calibration import ece, nll, probabilities_from_margins
from keras_ddl.evaluation.clip_scores import Scores
from keras_ddl.evaluation.localisation import LocalisationResult, View
from keras_ddl.evaluation.operating_point import OperatingPoint
from keras_ddl.evaluation.results import EvaluationResult, RobustnessResult, SetResult
from keras_ddl.evaluation.score_sets import ScoredSet
from keras_ddl.report import Content, write_report
from keras_ddl.report.cases import worst_cases
from keras_ddl.report.run_facts import RunFacts

VOID = {"meta", "img", "br"}
NAMES_OF = {"ACC": "accuracy", "AUC": "auc", "F1": "f1"}

FOUND = RobustnessResult.from_json(
    {
        "videos": 8,
        "weights_sha256": "ab" * 32,
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
)


def scored(
    dataset: str, methods: tuple[str, ...], spread: float, spec: ClipSpec, reals: bool = True
) -> ScoredSet:
    """A set of 8 videos a method, two clips each, with margins around ±2."""
    rng = np.random.default_rng(len(dataset))
    keys = tuple(
        (dataset, method, "c23", f"<{number:03d}>&.mp4")
        for method in (*(("real",) if reals else ()), *methods)
        for number in range(8)
        for _ in range(2)
    )
    labels = np.array([int(key[1] != "real") for key in keys], np.int32)
    margins = rng.normal(4.0 * labels - 2.0, spread)
    before = probabilities_from_margins(margins)
    after = probabilities_from_margins(margins, spec.temperature)
    scores = Scores(keys, labels, after)
    result = SetResult(
        **vars(breakdown(scores, spec.threshold, resamples=20)),
        name=dataset,
        split="test",
        threshold=spec.threshold,
        fingerprint=dataset * 3,
        trained_on=dataset != "other",
        ece_before=ece(labels, before) if reals else None,
        ece_after=ece(labels, after) if reals else None,
        nll_before=nll(labels, margins) if reals else None,
        nll_after=nll(labels, margins, spec.temperature) if reals else None,
        videos={"ok": len(keys) // 2, "no face": 1},
    )
    clips = rng.integers(0, 256, (len(keys), 4, 32, 32, 3), np.uint8)
    return ScoredSet(dataset, clips, margins, scores, result)


@pytest.fixture(scope="module")
def make() -> Callable[..., Content]:
    """Content over sets of given names: `make(datasets, spread=3.0, training=…)`."""

    def content(
        *datasets: str, spread: float = 3.0, training: str = "synthetic", calibrate: bool = True
    ) -> Content:
        spec = ClipSpec(
            frames=4,
            size=32,
            weights_sha256="ab" * 32,
            training={"dataset": training},
        )
        validation = scored("validation", ("Deepfakes",), spread, spec)
        if calibrate:
            scores = validation.scores
            point = OperatingPoint.fit(scores.keys, scores.labels, validation.margins, "v" * 64)
            spec = point.onto(spec)
        sets = tuple(scored(name, ("Deepfakes", "FaceSwap"), spread, spec) for name in datasets)
        result = EvaluationResult(
            threshold=spec.threshold,
            temperature=spec.temperature,
            calibration=OperatingPoint.of(spec),
            weights_sha256=spec.weights_sha256,
            sets=tuple(part.result for part in sets),
        )
        config = TrainConfig(backbone="resnet18", modules=("dfdc",), preset="</script><b>")
        return Content(
            facts=RunFacts("<run>", config, spec, {}, {}, result, None, None),
            sets=sets,
            views=(),
            related=(),
        )

    return content


class Page(HTMLParser):
    """What a page refers to, its tables by class, its headings, and text by class."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.tags: set[str] = set()
        self.tables: dict[str, list[list[list[str]]]] = {}
        self.classed: dict[str, list[str]] = {}
        self.words: list[str] = []
        self._open: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self._open == [], "an element is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.add(tag)
        self.references += [
            values[name] for name in ("src", "href", "srcset", "data", "action") if name in values
        ]
        self.references += [values["style"]] if "style" in values else []
        assert not [name for name in values if name.startswith("on")], "a script"
        if tag == "table":
            self.tables.setdefault(values["class"], []).append([])
        if tag == "tr":
            self._rows().append([])
        if tag in ("td", "th"):
            self._rows()[-1].append("")
        if tag not in VOID:
            self._open.append((tag, values.get("class", "")))
        self.classed.setdefault(values.get("class", ""), []).append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag, "elements are nested wrongly"

    def handle_data(self, data: str) -> None:
        opened = [tag for tag, _ in self._open]
        if "style" not in opened:
            self.words.append(data)
        if ("td" in opened or "th" in opened) and "small" not in opened:
            self._rows()[-1][-1] += data
        if self._open:
            self.classed[self._open[-1][1]][-1] += data

    def _rows(self) -> list[list[str]]:
        name = next(kind for tag, kind in reversed(self._open) if tag == "table")
        return self.tables[name][-1]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def read(content: Content, folder: Path) -> tuple[str, Page]:
    path = write_report(folder / "report.html", content)
    text = path.read_text(encoding="utf-8")
    return text, Page(text)


def test_it_refers_to_nothing_outside(make: Callable[..., Content], tmp_path: Path) -> None:
    text, page = read(make("set", "other"), tmp_path)
    assert page.references and all(
        reference.startswith("data:image/png;base64,") for reference in page.references
    )
    assert not page.tags & {"script", "link", "iframe", "object", "base", "form", "image", "use"}
    style = text.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style and "@import" not in style and "@font-face" not in style
    assert "http" not in text.replace('http-equiv="Content-Security-Policy"', "")
    assert "default-src 'none'" in text
    assert "prefers-color-scheme: dark" in style and "width=device-width" in text


def test_the_results_are_those_of_test_json(make: Callable[..., Content], tmp_path: Path) -> None:
    content = make("set", "other")
    _, page = read(content, tmp_path)
    (rows,) = page.tables["results"]
    expected = [["level", "ACC", "AUC", "F1", "real", "fake"]]
    for part in content.facts.test.sets:
        expected.append([part.name])
        for words, level in (("clips", part.clip), ("videos (mean)", part.video)):
            numbers = [f"{level[name]:.4f}" for name in NAMES_OF.values()]
            counts = [str(level[name]) for name in ("real", "fake")]
            expected.append([words, *numbers, *counts])
    assert rows == expected
    low, high = content.facts.test.sets[0].intervals["video"]["auc"]
    assert f"{low:.4f} to {high:.4f}" in page.text


def test_every_number_and_the_methods(make: Callable[..., Content], tmp_path: Path) -> None:
    content = make("set")
    (part,) = content.facts.test.sets
    _, page = read(content, tmp_path)
    (rows,) = page.tables["numbers"]
    levels = (part.clip, part.video, part.video_median, part.video_topk)
    names = (*NAMES_OF.values(), "precision", "recall", "eer", "average_precision")
    names += ("tpr_at_1pct_fpr", "tpr_at_0.1pct_fpr")
    for row, level in zip(rows[2:], levels, strict=True):
        assert row[1:] == [f"{level[name]:.4f}" for name in names]
    (methods,) = page.tables["methods"]
    assert methods[:2] == [["videos", "DF", "FS"], ["set c23"]]
    for row, short in zip(methods[2:], ("ACC", "AUC"), strict=True):
        numbers = [f"{found.video[NAMES_OF[short]]:.4f}" for found in part.methods]
        assert row == [short, *numbers]
    (confusion,) = page.tables["confusion"]
    table = part.confusion
    assert confusion[1:] == [
        ["real", str(table["true_real"]), str(table["false_fake"])],
        ["fake", str(table["false_real"]), str(table["true_fake"])],
    ]


def test_calibration_before_and_after(make: Callable[..., Content], tmp_path: Path) -> None:
    content = make("set")
    _, page = read(content, tmp_path)
    (rows,) = page.tables["calibration"]
    names = ("nll_before", "nll_after", "ece_before", "ece_after")
    assert content.facts.test.calibration is not None
    sources = (asdict(content.facts.test.calibration), content.facts.test.sets[0].to_json())
    for row, source in zip(rows[1:], sources, strict=True):
        assert row[1:] == [f"{source[name]:.4f}" for name in names]
    assert f"{content.facts.spec.temperature:.4g}, the minimum of the negative" in page.text


def test_the_mistakes_shown_are_the_worst(make: Callable[..., Content], tmp_path: Path) -> None:
    content = make("set", "other", spread=6.0)
    threshold = content.facts.test.threshold
    found = []
    for part in content.sets:
        videos = part.scores.videos()
        for label, score in zip(videos.labels, videos.probabilities, strict=True):
            if label and score < threshold:
                found.append(((threshold - score) / threshold, f"{score:.4f}"))
            if not label and score >= threshold:
                found.append(((score - threshold) / (1 - threshold), f"{score:.4f}"))
    assert len(found) > 8
    _, page = read(content, tmp_path)
    assert page.classed["score"] == [score for _, score in sorted(found, reverse=True)[:8]]
    assert "Worst mistakes" in page.text
    assert len([name for name in page.references if name.startswith("data:")]) == 8 * 4


def test_without_mistakes_the_closest_calls_are_shown(
    make: Callable[..., Content], tmp_path: Path
) -> None:
    content = make("set", spread=0.1)
    _, page = read(content, tmp_path)
    assert "No video is judged wrongly" in page.text and "Worst mistakes" not in page.text
    assert len(page.classed["score"]) == 3
    assert "its bound: no validation clip is on the wrong side" in page.text


def test_it_says_what_a_reader_must_know_first(
    make: Callable[..., Content], tmp_path: Path
) -> None:
    _, page = read(make("set"), tmp_path)
    first, second = page.text.index("only synthetic faces"), page.text.index("Few videos: set")
    assert first < second < page.text.index("Results")
    _, page = read(make("set", training="FaceForensics++", calibrate=False), tmp_path)
    assert "only synthetic faces" not in page.text
    assert "were not chosen on validation" in page.text
    _, page = read(make("set", "other"), tmp_path)
    assert "Cross-dataset, never seen in training: other." in page.text


def test_the_papers_numbers_stand_where_they_can(
    make: Callable[..., Content], tmp_path: Path
) -> None:
    _, page = read(make("DFDC"), tmp_path)
    (rows,) = page.tables["results"]
    assert rows[-1] == ["DDL, the paper: videos", "0.9414", "0.9586", "0.9589", "–", "–"]
    assert len(page.tables["paper"][0]) == 1 + 12
    content = make("DFDC")
    unseen = replace(content.facts.test.sets[0], trained_on=False)
    _, page = read(replace(content, sets=(replace(content.sets[0], result=unseen),)), tmp_path)
    assert "paper" not in page.tables and "the paper" not in page.text
    _, page = read(make("set"), tmp_path)
    assert "paper" not in page.tables


def test_a_set_of_fakes_alone_beside_another(make: Callable[..., Content], tmp_path: Path) -> None:
    content = make("set")
    alone = scored("alone", ("FaceSwap",), 3.0, content.facts.spec, reals=False)
    _, page = read(replace(content, sets=(*content.sets, alone)), tmp_path)
    assert "alone: not defined: only one class (0 real and 8 fake videos)" in page.text
    rows = [cells for table in page.tables["results"] for cells in table]
    videos = rows[-1]
    assert videos[0] == "videos (mean)" and videos[2:] == ["–", "–", "0", "8"]
    assert videos[1].startswith(f"{alone.result.video['accuracy']:.4f}")
    assert page.tables["calibration"][0][-1][1:] == ["–"] * 4


def test_names_and_fingerprints(make: Callable[..., Content], tmp_path: Path) -> None:
    content = make("set")
    text, page = read(content, tmp_path)
    assert "ab" * 32 in page.text and "setsetset" in page.text
    assert "</script><b>" in page.text and '<b>"' not in text  # shown, not obeyed
    assert f"{worst_cases(content.sets, content.facts.test.threshold)[0].key[3]}" in page.text
    assert "1 videos without a score: no face" in page.text


def test_equal_content_gives_an_equal_file_and_a_failure_leaves_the_old_one(
    make: Callable[..., Content], tmp_path: Path
) -> None:
    content = make("set")
    before, _ = read(content, tmp_path)
    assert read(content, tmp_path)[0] == before

    def broken(clip: np.ndarray) -> np.ndarray:
        raise RuntimeError("no map")

    with pytest.raises(RuntimeError, match="no map"):
        write_report(tmp_path / "report.html", replace(content, views=(View(GRAD_CAM, broken),)))
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == before


def test_every_map_stands_under_a_line_that_says_what_it_is(
    make: Callable[..., Content], tmp_path: Path
) -> None:
    def of_clip(clip: np.ndarray) -> np.ndarray:
        return np.tile(np.eye(4, dtype=np.float32), (len(clip), 1, 1))

    def of_frames(clip: np.ndarray) -> np.ndarray:
        return np.linspace(0, 1, 16 * len(clip)).reshape(-1, 4, 4)

    views = (View(INCONSISTENCY, of_frames), View(GRAD_CAM, of_clip, "block3"))
    content = replace(make("set"), views=views)
    text, page = read(content, tmp_path)
    cases = worst_cases(content.sets, content.facts.spec.threshold)
    saying = "Grad-CAM: what raised this network's score; not where a forgery is"
    whole = f"{saying} (features of block3); one map for the whole clip"
    assert page.text.count(whole) == page.text.count(saying) == len(cases)
    assert page.text.count(INCONSISTENCY.caption) == len(cases)
    dark = (View(GRAD_CAM, lambda clip: 0 * of_clip(clip), "block3"),)
    _, none = read(replace(content, views=dark), tmp_path)
    assert none.text.count("no place of this clip raised it more than others") == len(cases)
    assert "one map for the whole clip" not in none.text
    for title in ("Grad-CAM", "Inconsistency map"):
        assert text.count(f'alt="{title} of frame ') == 4 * len(cases)
    assert (
        text.index('alt="frame 4 of') < text.index(INCONSISTENCY.caption) < text.index("Grad-CAM: ")
    )


def test_the_maps_are_compared_by_number(make: Callable[..., Content], tmp_path: Path) -> None:
    own = LocalisationResult(12, 0.25, 0.1, 0.4, 0.2, 0.55, 0.5, "", 0.3, 0.7)
    cam = LocalisationResult(12, 0.75, 0.6, 0.9, 0.2, 0.8, 0.9, "block3", 0.3, 0.7)
    content = make("set")
    (part,) = content.sets
    told = replace(part, result=replace(part.result, localisation=own, grad_cam=cam))
    view = View(GRAD_CAM, lambda clip: np.ones((len(clip), 2, 2)), "block3")
    _, page = read(replace(content, sets=(told,), views=(view,)), tmp_path)
    told_of_it = "its brightest cell is forged in 75% of the frames, the usual one in 30%, a random"
    assert told_of_it in page.text
    blind = "it points no better than one would without a look at the picture"
    assert blind not in page.text
    (rows,) = page.tables["pointing"]
    whose, more = "the network's own map", ["0.3000", "0.2000"]
    assert rows[2] == [whose, "0.2500", *more, "0.5500", "0.7000", "0.5000", "12"]
    assert rows[3] == ["Grad-CAM", "0.7500", *more, "0.8000", "0.7000", "0.9000", "12"]
    unsure = replace(told, result=replace(told.result, grad_cam=replace(cam, low=0.3)))
    assert blind in read(replace(content, sets=(unsure,), views=(view,)), tmp_path)[1].text
    assert "pointing" not in read(content, tmp_path)[1].tables


def test_the_network_stands_at_the_top(make: Callable[..., Content], tmp_path: Path) -> None:
    text = write_report(tmp_path / "report.html", make("Celeb-DF-v2")).read_text()
    assert "<h1>Run &lt;run&gt;</h1>" in text
    assert "resnet18 with DFDC · clips of 4 frames of 32 px" in text


def damaged(make: Callable[..., Content], folder: Path) -> tuple[str, Page]:
    content = make("set")
    return read(replace(content, facts=replace(content.facts, robustness=FOUND)), folder)


def test_damaged_videos_have_every_level_with_its_value_and_what_was_scored(
    make: Callable[..., Content], tmp_path: Path
) -> None:
    text, page = damaged(make, tmp_path)
    (table,) = re.findall(r'<table class="stress">(.*?)</table>', text)
    rows = re.findall(r"<tr>(.*?)</tr>", table)
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
    assert "8 test videos; untouched: 0.900." in page.text


def test_curves_of_damage_start_untouched_and_leave_out_what_has_no_number(
    make: Callable[..., Content], tmp_path: Path
) -> None:
    """Axis from 50 to 348 across and 258 to 12 down; AUC 0.9 lies at 258 − 0.9 · 246 = 36.6."""
    text, _ = damaged(make, tmp_path)
    drawn = text[text.index('aria-label="AUC by level of damage"') :]
    curves = re.findall(r'class="curve series(\d)" points="([^"]*)"', drawn)
    assert curves == [
        ("0", "50.0,36.6 109.6,61.2 348.0,135.0"),
        ("1", "50.0,36.6 109.6,73.5"),
    ]


def test_without_a_measurement_it_says_how_to_get_one(
    make: Callable[..., Content], tmp_path: Path
) -> None:
    _, page = read(make("set"), tmp_path)
    assert "Not measured; python -m keras_ddl.robustness RUN" in page.text.replace(" ;", ";")
    assert "stress" not in page.tables
