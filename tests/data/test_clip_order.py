"""Order with hard-example mining: hard groups come more often, and the rest stays what it was."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from keras_ddl.data.clip_order import ClipOrder, epoch_order, mined_order

GROUPS = np.repeat(np.arange(40), 2)  # twins side by side


def test_hard_groups_come_more_often_and_a_pass_stays_as_long() -> None:
    hard = np.array([3, 17])
    counts: Counter[int] = Counter()
    for epoch in range(50):
        draws = mined_order(GROUPS, hard, 0.25, seed=1, epoch=epoch)
        assert len(draws) == len(GROUPS)
        for (one, seed), (other, same) in zip(draws[::2], draws[1::2], strict=True):
            assert GROUPS[one] == GROUPS[other]  # twins side by side, augmented alike
            np.testing.assert_array_equal(seed, same)
        counts.update(GROUPS[clip] for clip, _ in draws[::2])
    others = [counts[group] for group in range(40) if group not in hard]
    assert min(counts[3], counts[17]) > 4 * np.mean(others)
    assert min(others) > 20  # nobody is forgotten


def test_a_pass_is_a_function_of_seed_number_and_the_hard_ones() -> None:
    def drawn(**how: object) -> list[int]:
        asked = {"seed": 1, "epoch": 2, "hard": np.array([5]), **how}
        return [clip for clip, _ in mined_order(GROUPS, share=0.2, **asked)]

    assert drawn() == drawn()
    assert drawn() != drawn(seed=2) and drawn() != drawn(epoch=3)
    assert drawn() != drawn(hard=np.array([6]))
    plain = [clip for clip, _ in epoch_order(GROUPS, 1, 2)]
    kept = [clip for clip in drawn() if GROUPS[clip] != 5]
    assert kept == [clip for clip in plain if GROUPS[clip] != 5][: len(kept)]


def test_mining_and_balance_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="balance alone"):
        ClipOrder(None, 0, balance=True, mining=0.1)
