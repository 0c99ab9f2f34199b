"""Synthetic videos: alike in single frames, unlike in time, with faces that Haar finds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")
pytest.importorskip("av")

from benchmarks.training.synthetic_statistics import GROUPS, measure, table, video_statistics
from keras_ddl.data.synthetic import generate
from keras_ddl.edge.portraits.canvas import Grid
from keras_ddl.edge.portraits.forgery import Flicker, Forgery, Marks, share_of
from keras_ddl.edge.portraits.render import open_renderer

FORM = {"frames": 12, "fps": 25, "size": (320, 240), "crf": (18, 23)}


def drawn(seed: int, number: int, fake: bool, difficulty: float = 0.3, **form) -> np.ndarray:
    """Frames as they are before compression."""
    renderer, _ = open_renderer(seed, number, 0, fake, difficulty, **{**FORM, **form})
    return np.stack(list(renderer))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[float, Path]:
    """Six people per difficulty, as compressed files."""
    out = tmp_path_factory.mktemp("pairs")
    form = {"identities": {"test": 6}, "frames": 10, "seed": 11}
    return {d: generate(out / str(d), difficulty=d, **form) for d in (0.0, 0.3, 1.0)}


def statistics(root: Path) -> dict[str, dict[str, np.ndarray]]:
    """Statistic → label → one value per video, in the order of the manifest."""
    manifest = json.loads((root / "manifest.json").read_text())
    found: dict[str, dict[str, list[float]]] = {}
    for video in manifest["videos"]:
        given = manifest["arguments"]
        renderer, _ = open_renderer(
            given["seed"], video["identity"], 0, False, 0.0, **{**FORM, "frames": given["frames"]}
        )
        for name, values in video_statistics(root / video["file"], renderer).items():
            column = found.setdefault(name, {"real": [], "fake": []})
            column[video["label"]].append(float(np.mean(values)))
    return {name: {k: np.array(v) for k, v in by.items()} for name, by in found.items()}


@pytest.fixture(scope="module")
def measured(pairs: dict[float, Path]) -> dict[float, dict[str, dict[str, np.ndarray]]]:
    return {difficulty: statistics(root) for difficulty, root in pairs.items()}


# --- the marks -----------------------------------------------------------------------------------


def test_another_seed_is_another_world():
    first, second = (drawn(seed, 0, False, frames=1)[0].astype(float) for seed in (0, 1))
    assert np.abs(first - second).mean() > 10


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_flicker_keeps_the_distribution_and_changes_by_its_share(share: float):
    flicker = Flicker(
        (20_000,), np.random.default_rng(0), np.random.default_rng(1), share, memory=0.0
    )
    first, second = flicker.next().copy(), flicker.next().copy()
    assert first.std() == pytest.approx(1.0, abs=0.02)
    assert second.std() == pytest.approx(1.0, abs=0.02)
    # Two draws share the static part only: E (b − a)² = 2 · share.
    assert np.mean((second - first) ** 2) == pytest.approx(2 * share, abs=0.03)


def test_flicker_remembers():
    flicker = Flicker(
        (20_000,), np.random.default_rng(0), np.random.default_rng(1), 1.0, memory=0.4
    )
    frames = np.stack([flicker.next() for _ in range(3)])
    assert np.corrcoef(frames)[0, 1:] == pytest.approx([0.4, 0.16], abs=0.03)


def test_share_falls_from_all_to_a_hundredth():
    assert [share_of(d) for d in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.3025, 0.01])


def test_marks_stay_inside_the_face():
    grid = Grid.over(-1.5, 1.5, -1.5, 1.8, 40.0)
    marks = Marks(texture=0.05, color=0.1, boundary=0.05, softness=0.2, memory=0.0)
    face = np.full((*grid.x.shape, 3), 0.5, np.float32)
    Forgery(grid, marks, 1.0, [1], [2]).apply(face)
    outside = np.hypot(grid.x / 0.8, (grid.y - 0.28) / 1.02) > 1.5
    np.testing.assert_array_equal(face[outside], 0.5)
    assert np.abs(face[~outside] - 0.5).mean() > 0.005


def test_twins_differ_by_noise_and_face_only():
    real, fake = (drawn(3, 1, fake, 0.0).astype(float) for fake in (False, True))
    apart = np.abs(real - fake).mean(axis=(0, 3))
    face = apart[70:170, 120:200].mean()
    wall = apart[:40, :40].mean()
    assert wall < 5  # two draws of the same camera's noise
    assert face > 2 * wall


def test_head_moves_and_the_true_motion_undoes_it():
    renderer, _ = open_renderer(5, 2, 0, False, 0.0, **FORM)
    frames = list(renderer)
    inner, _ = renderer.regions()
    still = [
        cv2.remap(frame, *renderer.face_map(index), cv2.INTER_LINEAR)[inner].astype(float)
        for index, frame in enumerate(frames)
    ]
    moved = [cv2.remap(f, *renderer.face_map(0), cv2.INTER_LINEAR)[inner] for f in frames]
    undone = np.abs(still[-1] - still[0]).mean()
    assert undone < 0.6 * np.abs(moved[-1].astype(float) - moved[0]).mean()


# --- what one frame and what the sequence tells --------------------------------------------------


@pytest.mark.parametrize("name", [*GROUPS["one frame"], *GROUPS["file"]])
def test_single_frames_of_both_classes_are_alike(measured: dict, name: str):
    values = measured[0.3][name]
    spread = np.concatenate([values["real"], values["fake"]]).std()
    assert abs(values["real"].mean() - values["fake"].mean()) < 0.5 * spread


def test_one_frame_of_a_fake_has_the_variance_of_a_real_one(measured: dict):
    # Twins share person and performance, so their ratio is free of both. A fresh part of the
    # share's size *added* to the static one, instead of traded for it, makes this 0.1.
    texture = measured[0.3]["face texture"]
    assert np.log(texture["fake"] / texture["real"]).mean() == pytest.approx(0.0, abs=0.04)


@pytest.mark.parametrize("name", GROUPS["motion undone"])
def test_the_sequence_tells_every_twin_apart(measured: dict, name: str):
    values = measured[0.3][name]
    assert np.all(values["fake"] > 1.5 * values["real"])


def test_difficulty_lessens_the_fluctuation(measured: dict):
    for name in GROUPS["motion undone"]:
        ratios = [
            np.median(measured[d][name]["fake"] / measured[d][name]["real"])
            for d in (0.0, 0.3, 1.0)
        ]
        assert ratios[0] > ratios[1] > ratios[2], name
        assert ratios[2] < 1.5, name


def test_measure_reports_every_statistic(pairs: dict[float, Path]):
    areas = measure(pairs[0.0])
    assert set(areas) == {name for names in GROUPS.values() for name in names}
    assert all(0.5 <= area <= 1.0 for area in areas.values())
    assert areas["texture"] == areas["color"] == 1.0
    lines = table({"0": areas}).splitlines()
    assert lines[-1] == "| motion undone | color | 1.00 |"


# --- what the detector sees ----------------------------------------------------------------------


def test_haar_finds_the_faces(haar: str):
    path = Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml"
    cascade = cv2.CascadeClassifier(str(path))
    found = []
    for number in range(20, 32):
        for frame in drawn(0, number, number % 2 == 1)[::4]:
            gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
            boxes = cascade.detectMultiScale(gray, 1.1, 5, minSize=(60, 60))
            middles = [(x + w / 2, y + h / 2, w) for x, y, w, h in boxes]
            found.append(
                any(
                    100 < x < 220 and 80 < y < 170 and 70 < w < 160  # on the head, of its size
                    for x, y, w in middles
                )
            )
    assert len(found) == 36
    assert np.mean(found) >= 0.9
