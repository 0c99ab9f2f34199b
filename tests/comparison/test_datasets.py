"""What is compared on: looked at before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from keras_ddl.comparison.datasets import datasets
from keras_ddl.edge.errors import UserError


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A plain folder of empty files, which an index does not open."""
    for split in ("train", "val", "test"):
        for label in ("real", "fake"):
            file = tmp_path / "videos" / split / label / f"{split}_{label}.mp4"
            file.parent.mkdir(parents=True)
            file.touch()
    return tmp_path / "videos"


def test_folders_and_titles(plain: Path) -> None:
    listed = plain.parent / "listed" / "manifest.csv"
    listed.parent.mkdir()
    rows = [f"{path},{path.parent.name},{path.parents[1].name}" for path in plain.rglob("*.mp4")]
    listed.write_text("\n".join(["path,label,split", *rows]) + "\n")
    one, other = datasets([plain, listed], ["folder", "csv"])
    assert (one.name, one.title, one.synthetic) == ("videos", "videos", False)
    assert (other.name, other.layout) == ("listed", "csv")


def test_two_of_one_name_need_another(plain: Path) -> None:
    second = plain.parent / "elsewhere" / "videos"
    second.parent.mkdir()
    plain.rename(second)
    plain.symlink_to(second)
    with pytest.raises(UserError, match=r"folders called videos.*ln -s"):
        datasets([plain, second], ["folder"])
    link = plain.parent / "others"
    link.symlink_to(second)
    assert [found.name for found in datasets([plain, link], ["folder"])] == ["videos", "others"]


def test_what_cannot_be_compared_on_is_refused(plain: Path) -> None:
    with pytest.raises(UserError, match="one for each of 1 datasets, received 2"):
        datasets([plain], ["folder", "ffpp"])
    with pytest.raises(UserError, match="expected a dataset folder"):
        datasets([plain / "nowhere"], ["folder"])
    (plain / "test/real/test_real.mp4").unlink()  # else the first training would end in it
    with pytest.raises(UserError, match="real test videos, received 1 fakes and no real"):
        datasets([plain], ["folder"])
    (plain / "test/fake/test_fake.mp4").unlink()
    with pytest.raises(UserError, match="expected real test videos, received none"):
        datasets([plain], ["folder"])
