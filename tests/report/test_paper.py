"""The paper's numbers, read from the table."""

from __future__ import annotations

import pytest

from keras_ddl.report.paper import DATASETS, paper_rows


def test_ours_and_the_rest_where_the_paper_prints_them() -> None:
    celeb, dfdc = paper_rows("Celeb-DF-v2"), paper_rows("DFDC")
    assert len(celeb) == len(dfdc) == 12
    assert celeb[-1] == ("DDL", (0.9907, 0.9998, 0.9933), (0.9961, 0.9970, 0.9985))
    assert dfdc[0] == ("ShallowNet", (0.7931, 0.8577, 0.8403), (0.8047, 0.8042, 0.8493))
    ff = paper_rows("FaceForensics++")
    assert ff[-1] == ("Xception+both", (None, None, None), (0.9893, 0.9929, None))
    assert len(ff) == 8


@pytest.mark.parametrize("dataset", DATASETS)
def test_shares_are_shares(dataset: str) -> None:
    for row in paper_rows(dataset):
        numbers = [value for value in (*row.clip, *row.video) if value is not None]
        assert numbers and all(0.5 < value < 1 for value in numbers)


def test_nothing_for_other_datasets() -> None:
    for name in ("Celeb-DF-v1", "DFDC-preview", "synthetic", ""):
        assert paper_rows(name) == []
