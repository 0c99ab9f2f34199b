"""Portrait videos that need no download: reals that move, fakes that flicker as face swaps do."""

from __future__ import annotations

from keras_ddl.data.synthetic.dataset import (
    DEFAULT_DIFFICULTY,
    DEFAULT_IDENTITIES,
    SyntheticVideo,
    generate,
    plan,
)

__all__ = ["DEFAULT_DIFFICULTY", "DEFAULT_IDENTITIES", "SyntheticVideo", "generate", "plan"]
