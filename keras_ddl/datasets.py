"""Datasets as a training configuration asks for them: generated, and prepared into clips."""

from __future__ import annotations

import hashlib
from pathlib import Path

from keras_ddl.config import TrainConfig
from keras_ddl.data.prepare import PROCESSES, prepare
from keras_ddl.data.video_index import SPLITS
from keras_ddl.edge.storage.address import Address, absolute


def synthetic_root(config: TrainConfig, cache: Path) -> Path:
    """Generate the synthetic set a configuration names, where it is not there yet."""
    from keras_ddl.data.synthetic import generate

    counts = "-".join(map(str, config.synthetic_videos))
    name = f"synthetic-{counts}-d{config.synthetic_difficulty:g}-s{config.synthetic_seed}"
    return generate(
        cache / name,
        identities=dict(zip(SPLITS, config.synthetic_videos, strict=True)),
        difficulty=config.synthetic_difficulty,
        seed=config.synthetic_seed,
        processes=PROCESSES,
    )


def prepared_for(
    config: TrainConfig, root: Path | Address, cache: Path, layout: str, identity: str = ""
) -> Path:
    """Prepare a dataset as a configuration asks, in a folder of `cache` named after both."""
    place, spec = absolute(root), config.spec()
    rules = f"{place} {layout} {spec.to_json()} {config.detector} {config.clips_per_video}"
    rules += " wide" if config.pseudo_fakes else ""
    rules += f" {identity}" if identity else ""
    name = f"clips-{Path(place).name}-{hashlib.sha256(rules.encode()).hexdigest()[:8]}"
    prepare(
        root,
        cache / name,
        spec,
        config.detector,
        PROCESSES,
        config.clips_per_video,
        layout,
        surroundings=bool(config.pseudo_fakes),
        identity=identity,
    )
    return cache / name
