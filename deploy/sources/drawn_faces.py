"""Drawn faces that real detectors find: for trying things out without a camera."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from keras_ddl.edge.optional_import import need

LOOP_S = 2.0
LOOP_BYTES = 64 * 2**20  # of the precomputed pictures of one scene, about
LEAST_FRAMES = 8
NOISE = 3  # grey levels either way, like a sensor's
INK = (58, 42, 34)
Part = tuple[float, float, float, float, object]  # an ellipse, see _features
SKINS = ((208, 168, 142), (226, 190, 166), (196, 152, 126), (190, 150, 124))


@dataclass(frozen=True)
class Scene:
    """What is drawn.

    Args:
        faces: How many, side by side.
        size: Width and height in pixels.
        fps: Frames per second.
        fake: Whether the faces flicker as swapped ones do: features and skin jump every frame.
        seed: Of colours, noise and flicker.
    """

    faces: int = 1
    size: tuple[int, int] = (640, 480)
    fps: float = 25.0
    fake: bool = False
    seed: int = 0


@lru_cache(maxsize=8)
def draw_loop(scene: Scene) -> tuple[np.ndarray, ...]:
    """Return pictures, uint8 (H, W, 3) RGB and read-only, whose last goes over into the first."""
    rng = np.random.default_rng(scene.seed)
    width, height = scene.size
    fitting = LOOP_BYTES // (3 * width * height)
    count = max(LEAST_FRAMES, min(round(LOOP_S * scene.fps), fitting))
    room = _room(scene, rng)
    noise = rng.integers(-NOISE, NOISE + 1, (height + 64, width + 64, 1), np.int16)
    pictures = []
    for index in range(count):
        image = room.copy()
        for face in range(scene.faces):
            _draw_face(image, scene, face, 2.0 * math.pi * index / count, rng)
        y, x = rng.integers(0, 64, 2)
        grain = noise[y : y + height, x : x + width]
        picture = np.clip(image + grain, 0, 255).astype(np.uint8)
        picture.flags.writeable = False
        pictures.append(picture)
    return tuple(pictures)


def _room(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """A wall that grows darker to one side, with a few frames on it; int16-safe uint8 (H, W, 3)."""
    width, height = scene.size
    slope = np.linspace(0.0, 40.0, width)[None, :, None]
    room = np.broadcast_to(rng.integers(90, 150, 3) + slope, (height, width, 3))
    image = np.ascontiguousarray(room, np.uint8)
    for _ in range(6):
        x, y = rng.integers(0, width), rng.integers(0, height // 3)
        image[y : y + height // 8, x : x + width // 8] = rng.integers(60, 200, 3)
    return image


def _draw_face(
    image: np.ndarray, scene: Scene, face: int, phase: float, rng: np.random.Generator
) -> None:
    """Draw one face at a phase (radians) of its movement, which is a whole turn per loop."""
    width, height = scene.size
    cell = width / scene.faces
    side = min(0.4 * height, 0.5 * cell)
    turn = phase + face
    x = (face + 0.5) * cell + 0.2 * side * math.sin(turn)
    y = 0.52 * height + 0.1 * side * math.sin(2.0 * turn)
    skin = np.array(SKINS[(scene.seed + face) % len(SKINS)])
    jump = np.zeros(2)
    if scene.fake:
        skin = skin + rng.integers(-14, 15)
        jump = rng.normal(0.0, 0.025, 2)
    open_mouth = 0.05 + 0.03 * math.sin(3.0 * turn)
    outline: list[Part] = [(0, -0.12, 0.52, 0.66, INK), (0, 0.05, 0.45, 0.6, skin)]  # hair, face
    _ellipses(image, x, y, side, outline)
    _ellipses(image, x + jump[0] * side, y + jump[1] * side, side, _features(skin, open_mouth))


def _features(skin: np.ndarray, open_mouth: float) -> list[Part]:
    """Ellipses as (x, y, half width, half height, colour), in sides from the middle of the face."""
    parts: list[Part] = []
    for k in (-0.2, 0.2):
        parts += [
            (k, -0.17, 0.13, 0.03, INK),  # brow
            (k, -0.05, 0.12, 0.075, 0.72 * skin),  # socket
            (k, -0.05, 0.09, 0.045, (236, 236, 232)),  # eye
            (k, -0.05, 0.045, 0.045, INK),  # iris
        ]
    return [
        *parts,
        (0, 0.1, 0.05, 0.13, 1.1 * skin),  # nose
        (0, 0.22, 0.1, 0.03, 0.7 * skin),
        (0, 0.4, 0.18, open_mouth, (150, 70, 72)),  # mouth
    ]


def _ellipses(
    image: np.ndarray,
    x: float,
    y: float,
    side: float,
    parts: list[Part],
) -> None:
    """Draw ellipses with their places in sixteenths of a pixel, so that movement is smooth."""
    cv2 = need("cv2", "drawing faces")
    for dx, dy, a, b, colour in parts:
        middle = (round(16 * (x + dx * side)), round(16 * (y + dy * side)))
        axes = (max(1, round(16 * a * side)), max(1, round(16 * b * side)))
        tone = tuple(float(v) for v in np.clip(np.asarray(colour, np.float64), 0.0, 255.0))
        cv2.ellipse(image, middle, axes, 0, 0, 360, tone, -1, cv2.LINE_AA, 4)
