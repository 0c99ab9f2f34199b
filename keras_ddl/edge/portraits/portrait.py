"""The parts of a portrait that stay the same through a video: relief, skin, hair, torso, wall."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from keras_ddl.edge.portraits.canvas import Grid, bump, over, smooth_noise, smoothstep
from keras_ddl.edge.portraits.identity import Identity

HEAD = (-1.75, 1.75, -2.0, 2.1)  # left, right, top, bottom of the head's canvas, face units
FACE = (-1.25, 1.25, -1.45, 1.65)  # the part of it that is redrawn for every frame
TORSO = (-3.6, 3.6, 0.6, 3.4)


@dataclass(frozen=True)
class Portrait:
    """Layers of one person, all float32 and in [0, 1] unless said otherwise.

    `head`: (H, W, 4) premultiplied RGBA of the whole head with a black face; `face` is the grid of
    the window `window` in it. On that grid: `skin` (h, w, 3) unlit colour, `normals` (h, w, 3),
    `weight` (h, w, 3) how much of the lit face is seen, `around` (h, w, 3) what is added to it.
    `torso`: (H, W, 4) premultiplied on `torso_grid`; `wall`: (H, W, 3), larger than the frame.
    """

    head_grid: Grid
    head: np.ndarray
    window: tuple[slice, slice]
    face: Grid
    skin: np.ndarray
    normals: np.ndarray
    weight: np.ndarray
    around: np.ndarray
    torso_grid: Grid
    torso: np.ndarray
    wall: np.ndarray


def light_vector(azimuth: float, elevation: float) -> np.ndarray:
    """Unit vector towards the light; azimuth 0 is frontal, positive from the image's right."""
    horizontal = np.cos(elevation)
    return np.array(
        [np.sin(azimuth) * horizontal, -np.sin(elevation), np.cos(azimuth) * horizontal], np.float32
    )


def _outline(person: Identity, grid: Grid) -> np.ndarray:
    """Level function of the face's outline: 0 in the middle, 1 on the edge."""
    chin = 1.42 * person.face_height
    below = np.clip(grid.y / chin, 0.0, 1.3)
    taper = 1.0 - (0.30 - 0.16 * person.jaw) * below**1.7
    power = 2.3 + 0.7 * person.jaw
    vertical = np.where(grid.y < 0, np.abs(grid.y / 1.38), below)
    level = (np.abs(grid.x) / (person.face_width * taper)) ** 2.1 + vertical**power
    return level.astype(np.float32)


def _coverage(level: np.ndarray, unit: float, softness: float = 1.6) -> np.ndarray:
    """Anti-aliased coverage of {level < 1}; the edge is `softness` pixels wide."""
    slope_y, slope_x = np.gradient(level)
    slope = np.maximum(np.hypot(slope_x, slope_y), 0.3 / unit)
    return smoothstep((1.0 - level) / slope, -softness / 2, softness / 2)


def _relief(person: Identity, grid: Grid, level: np.ndarray) -> np.ndarray:
    """Height of the face towards the camera, face units."""
    eye, tip = person.eye_spacing, person.nose_length
    height = 0.85 * np.sqrt(np.clip(1.12 - level, 0.02, None))
    bridge = smoothstep(grid.y, -0.35, tip) * smoothstep(grid.y, tip + 0.16, tip - 0.02)
    height += 0.30 * bridge * np.exp(-0.5 * (grid.x / (0.07 + 0.06 * bridge)) ** 2)
    for side in (-1, 1):
        height += 0.07 * bump(grid, side * person.nose_width * 0.75, tip - 0.02, 0.07, 0.06)
        height -= 0.15 * bump(grid, side * eye, -0.04, 0.19, 0.13)
        height += 0.06 * bump(grid, side * (eye + 0.02), -0.36, 0.24, 0.09)
        height += 0.10 * bump(grid, side * 0.52, 0.36, 0.22, 0.20)
    height += 0.07 * bump(grid, 0.0, person.mouth_height, 0.30, 0.13)
    height -= 0.05 * bump(grid, 0.0, person.mouth_height + 0.22, 0.18, 0.06)
    height += 0.08 * bump(grid, 0.0, 1.25, 0.22, 0.13)
    return height.astype(np.float32)


def _normals(height: np.ndarray, unit: float) -> np.ndarray:
    """Unit surface normals (h, w, 3) of a height field in face units."""
    height = cv2.GaussianBlur(height, (0, 0), 0.02 * unit)
    slope_y, slope_x = np.gradient(height * unit)
    normal = np.dstack([-slope_x, -slope_y, np.ones_like(height)])
    return (normal / np.linalg.norm(normal, axis=2, keepdims=True)).astype(np.float32)


def _brows(person: Identity, grid: Grid) -> np.ndarray:
    """Coverage of both eyebrows."""
    mask = np.zeros_like(grid.x)
    for side in (-1, 1):
        along = (grid.x * side - person.eye_spacing) / 0.27
        middle = -person.brow_height - 0.05 * (1 - along**2) - person.brow_tilt * 0.12 * along
        thick = person.brow_weight * (1.0 - 0.45 * np.clip(along, -0.2, 1.0))
        hairs = smoothstep(np.abs(grid.y - middle), thick, 0.35 * thick)
        mask = np.maximum(mask, hairs * smoothstep(np.abs(along), 1.1, 0.8))
    return mask


def _skin(person: Identity, grid: Grid, level: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Unlit colour of the face with everything that does not move on it."""
    tone = np.array(person.skin, np.float32)
    skin = np.ones((*grid.x.shape, 3), np.float32) * tone
    shape = grid.x.shape
    blotches = 0.018 * smooth_noise(rng, shape, 0.3 * grid.unit)
    skin *= 1.0 + blotches[..., None]
    eye, tip = person.eye_spacing, person.nose_length
    blush: np.ndarray | float = sum(bump(grid, side * 0.55, 0.35, 0.22, 0.18) for side in (-1, 1))
    blush = 0.10 * blush + 0.10 * bump(grid, 0.0, tip, 0.14, 0.11)
    skin *= 1.0 - blush[..., None] * np.array([0.0, 0.8, 0.8], np.float32)
    hollow: np.ndarray | float = sum(bump(grid, side * eye, -0.02, 0.20, 0.11) for side in (-1, 1))
    hollow = 0.26 * hollow + 0.10 * sum(
        bump(grid, side * (eye - 0.24), -0.12, 0.06, 0.10) for side in (-1, 1)
    )
    wings = sum(
        bump(grid, side * person.nose_width * 0.55, tip + 0.06, 0.055, 0.03) for side in (-1, 1)
    )
    under = bump(grid, 0.0, tip + 0.10, person.nose_width * 0.6, 0.04)
    crease = bump(grid, 0.0, person.mouth_height + 0.20, 0.17, 0.035)
    fold = 0.0
    for side in (-1, 1):
        path = person.nose_width + 0.05 + 0.30 * np.clip(grid.y - tip + 0.05, 0, 1)
        near = np.exp(-0.5 * ((grid.x * side - path) / 0.035) ** 2)
        fold = fold + near * smoothstep(grid.y, tip - 0.1, tip + 0.05) * smoothstep(
            grid.y, 0.95, 0.75
        )
    shade = hollow + 0.55 * wings + 0.22 * under + 0.14 * crease + 0.10 * fold
    shade = shade + 0.30 * smoothstep(level, 0.80, 1.05)
    skin *= 1.0 - shade[..., None] * np.array([0.8, 0.95, 1.0], np.float32)
    return _facial_hair(person, grid, level, rng, skin)


def _facial_hair(
    person: Identity, grid: Grid, level: np.ndarray, rng: np.random.Generator, skin: np.ndarray
) -> np.ndarray:
    """Add beard and eyebrows to the skin."""
    hair = np.array(person.hair, np.float32) * 0.8
    stubble = 1.0 + 0.15 * smooth_noise(rng, grid.x.shape, 0.035 * grid.unit)
    if person.beard > 0:
        mouth = person.mouth_height
        low = smoothstep(grid.y + 0.5 * grid.x**2, mouth - 0.18, mouth + 0.25)
        sides = smoothstep(np.abs(grid.x), 0.72, 0.90) * smoothstep(grid.y, 0.1, 0.5)
        lips = bump(grid, 0.0, mouth, person.mouth_width * 0.9, 0.11)
        cover = np.clip(np.maximum(low, sides) * (1 - 0.9 * np.clip(1.4 * lips, 0, 1)), 0, 1)
        skin = over(hair * stubble[..., None], np.clip(person.beard * cover, 0, 1), skin)
    return over(hair * stubble[..., None], 0.85 * _brows(person, grid), skin)


def _strands(person: Identity, grid: Grid, rng: np.random.Generator) -> np.ndarray:
    """Hair colour (H, W, 3) combed away from the crown, with a band of sheen."""
    angle = np.arctan2(grid.x, 0.35 - np.minimum(grid.y, 0.3)) + 0.3 * person.fringe * grid.y
    radius = np.hypot(grid.x, np.minimum(grid.y, 0.3)) + np.maximum(grid.y - 0.3, 0)
    table = smooth_noise(rng, (64, 512), 3.0)
    column = ((angle / np.pi + 1.0) * 255).astype(np.float32)
    row = np.clip(radius * 8.0, 0, 63).astype(np.float32)
    lines = cv2.remap(table, column, row, cv2.INTER_LINEAR)
    light = light_vector(person.light_azimuth, person.light_elevation)
    sheen = 0.35 * np.exp(-(((radius - 1.35) / 0.16) ** 2)) * np.clip(1 + light[0] * grid.x, 0.2, 2)
    fall = 1.0 - 0.35 * smoothstep(grid.y, -0.6, 1.2)
    value = (0.95 + 0.16 * lines + sheen) * fall
    return np.array(person.hair, np.float32) * np.clip(value, 0.25, 2.0)[..., None]


def _hair_masks(
    person: Identity, grid: Grid, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Coverage of the hair behind the face and of the hair in front of it."""
    if person.hair_volume <= 0:
        none = np.zeros_like(grid.x)
        return none, none
    wave = 0.035 * smooth_noise(rng, (1, grid.x.shape[1]), 0.12 * grid.unit)
    side = 1.02 * person.face_width + 0.8 * person.hair_volume
    top = 1.38 + person.hair_volume
    y = grid.y + 0.1
    skull = (np.abs(grid.x) / side) ** 2.2 + np.where(y < 0, np.abs(y / top), 0.0) ** 2.2
    end = smoothstep(grid.y + 2.0 * wave, person.hair_length + 0.12, person.hair_length - 0.12)
    behind = smoothstep(skull, 1.04, 0.96) * end
    behind *= 1.0 - smoothstep(grid.y, 0.9, 1.25) * smoothstep(np.abs(grid.x), 0.72, 0.52)
    x = grid.x / person.face_width
    line = person.hairline + 0.8 * np.abs(x) ** 5 + person.fringe * x * (1 - np.abs(x)) + wave
    front = smoothstep(grid.y - line, 0.05, -0.05) * smoothstep(skull, 1.04, 0.96) * end
    return behind, front


def _torso(person: Identity, unit: float) -> tuple[Grid, np.ndarray]:
    """Neck and shoulders, premultiplied RGBA."""
    grid = Grid.over(*TORSO, unit)
    light = light_vector(person.light_azimuth, person.light_elevation)
    neck_half = 0.52 + 0.10 * person.jaw + 0.4 * np.clip(grid.y - 1.9, 0, 1) ** 2
    neck = smoothstep(np.abs(grid.x), neck_half + 0.015, neck_half - 0.015)
    slope = 1.95 + 0.10 * np.abs(grid.x) ** 2.1
    shirt = smoothstep(grid.y - slope, -0.02, 0.02)
    collar = smoothstep((grid.x / 0.72) ** 2 + ((grid.y - 1.75) / 0.45) ** 2, 0.97, 1.03)
    shirt *= collar
    round_neck = 1.0 - 0.35 * (np.abs(grid.x) / 0.62) ** 3 + 0.25 * light[0] * grid.x
    shadow = 1.0 - 0.45 * smoothstep(grid.y, 1.95, 1.25)
    skin = (
        np.array(person.skin, np.float32)
        * (0.80 * np.clip(round_neck * shadow, 0.2, 1.2))[..., None]
    )
    fold = 1.0 + 0.22 * light[0] * np.clip(grid.x / 1.5, -1, 1) - 0.12 * (grid.y - 2.0)
    cloth = np.array(person.shirt, np.float32) * np.clip(fold, 0.3, 1.4)[..., None]
    color = over(cloth, shirt, skin)
    alpha = np.maximum(neck, shirt)
    return grid, np.dstack([color * alpha[..., None], alpha]).astype(np.float32)


def _wall(person: Identity, size: tuple[int, int], margin: int) -> np.ndarray:
    """An out-of-focus room, `margin` pixels larger than the frame on every side."""
    rng = np.random.default_rng([person.surface_seed, 1])
    width, height = size[0] + 2 * margin, size[1] + 2 * margin
    first, second = (np.array(c, np.float32) for c in person.wall)
    turn = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    ramp = 0.5 + 0.6 * ((x / width - 0.5) * np.cos(turn) + (y / height - 0.5) * np.sin(turn))
    wall = first + (second - first) * np.clip(ramp, 0, 1)[..., None]
    for _ in range(int(rng.integers(3, 9))):
        center = (int(rng.integers(width)), int(rng.integers(height)))
        half = (int(rng.integers(10, width // 3)), int(rng.integers(10, height // 2)))
        color = wall.mean(axis=(0, 1)) * rng.uniform(0.55, 1.4) + rng.normal(0, 0.03, 3)
        shape: np.ndarray = np.zeros((height, width), np.float32)
        corner = (center[0] + half[0], center[1] + half[1])
        cv2.rectangle(shape, center, corner, 1.0, -1)
        shape = cv2.GaussianBlur(shape, (0, 0), rng.uniform(1.5, 8.0))
        wall = over(color.astype(np.float32), 0.7 * shape, wall)
    wall *= 1.0 + 0.012 * smooth_noise(rng, (height, width), 9.0)[..., None]
    return np.clip(wall, 0.02, 0.98).astype(np.float32)


@lru_cache(maxsize=2)
def build_portrait(person: Identity, size: tuple[int, int], unit: float, margin: int) -> Portrait:
    """Draw the still layers of one person for frames of `size` (width, height) pixels.

    The last ones are kept: a real video and its fake twin share them. Not to be written to.

    Args:
        person: Who.
        size: Width and height of the frame, pixels.
        unit: Pixels per face unit in the drawn layers.
        margin: How far the wall reaches beyond the frame, pixels.
    """
    rng = np.random.default_rng([person.surface_seed, 0])
    grid = Grid.over(*HEAD, unit)
    behind, front = _hair_masks(person, grid, rng)
    strands = _strands(person, grid, rng)
    level = _outline(person, grid)
    ears = np.zeros_like(grid.x)
    for side in (-1, 1):
        shape = ((grid.x - side * 1.01 * person.face_width) / 0.15) ** 2 + (
            (grid.y - 0.12) / 0.30
        ) ** 2
        ears = np.maximum(ears, _coverage(shape, unit))
    ear_color = np.array(person.skin, np.float32) * np.array([0.86, 0.76, 0.72], np.float32)
    color = over(ear_color, ears, strands * 0.8)
    inside = _coverage(level, unit)
    alpha = np.maximum(behind, ears) * (1.0 - inside)
    through = (1.0 - front)[..., None]
    head = np.dstack([color * alpha[..., None], alpha + inside]) * through
    head += np.dstack([strands * front[..., None], front])
    window = grid.window(*FACE)
    face = grid.crop(*window)
    weight = (inside[..., None] * through)[window]
    torso_grid, torso = _torso(person, unit)
    return Portrait(
        head_grid=grid,
        head=head.astype(np.float32),
        window=window,
        face=face,
        skin=_skin(person, face, level[window], rng),
        normals=_normals(_relief(person, face, level[window]), unit),
        weight=np.repeat(weight, 3, axis=2).astype(np.float32),
        around=np.ascontiguousarray(head[window][..., :3], np.float32),
        torso_grid=torso_grid,
        torso=torso,
        wall=_wall(person, size, margin),
    )
