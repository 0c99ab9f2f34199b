"""Training and evaluation on a prepared set in a real S3 store: as on the same set in a folder."""

from __future__ import annotations

import gc
import json
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

from keras_ddl import evaluate, train
from keras_ddl.data.pipeline import clip_dataset
from keras_ddl.data.prepared import read_summary
from keras_ddl.data.shards import stored_set
from keras_ddl.data.shards.stored_set import prepared_here
from keras_ddl.edge.errors import CHECK_FAILED, MISSING, UserError
from keras_ddl.edge.storage.address import Address
from keras_ddl.edge.storage.random_reads import refusals_told
from keras_ddl.edge.storage.store import Store


@pytest.fixture
def stored(
    flicker_set: Path, bucket: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Address:
    """The set, copied into a store."""
    monkeypatch.setattr(stored_set, "FETCHED", tmp_path / "fetched")
    place = bucket / "flicker"
    for path in flicker_set.rglob("*"):
        if path.is_file():
            Store(place).write(place / path.relative_to(flicker_set).as_posix(), path.read_bytes())
    return place


@pytest.mark.slow
def test_it_learns_and_scores_as_from_a_folder(
    stored: Address, plain_run: Path, plain_options: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert train.main(["--prepared", stored, "--out", str(out), *plain_options]) == 0
    histories = [json.loads((run / "history.json").read_text()) for run in (out, plain_run)]
    assert histories[0] == histories[1]
    assert json.loads((out / "config.json").read_text())["data"]["prepared"] == stored
    assert evaluate.main([str(out)]) == 0  # on the clips that it was trained on, which it finds
    (found,) = json.loads((out / "test.json").read_text())["sets"]
    assert found["fingerprint"] == read_summary(stored)["fingerprint"]


def test_what_is_no_set_is_a_line(
    stored: Address, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--out", str(tmp_path / "run"), "--prepared"]
    assert train.main([*words, stored / "nowhere"]) == 2
    shard = read_summary(stored)["shards"]["val"][0]["name"]
    Store(stored).remove(stored / "val" / shard)
    assert train.main([*words, stored]) == MISSING
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2 and "holds no prepared.json" in errors[0]
    assert f"{stored}/val/{shard}: expected" in errors[1] and "received no file" in errors[1]


def test_a_shard_that_turns_out_to_be_another_ends_the_reading_in_its_own_words(
    stored: Address,
) -> None:
    """Although TensorFlow, whose threads read it, makes an error of its own of that."""
    folder = prepared_here(stored)
    shard = read_summary(stored)["shards"]["train"][5]
    Store(stored).write(stored / "train" / shard["name"], bytes(shard["bytes"]))
    code = None
    try:
        with refusals_told():
            list(clip_dataset(folder, "train", 4, cache_bytes=0))
    except UserError as error:
        assert "expected SHA-256" in str(error)
        code = error.exit_code  # kept alone: the error holds the threads that still read ahead
    assert code == CHECK_FAILED
    gc.collect()
