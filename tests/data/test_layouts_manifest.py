"""The CSV manifest."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from keras_ddl.data.layouts import LAYOUTS, read_index
from keras_ddl.data.layouts.manifest import manifest
from keras_ddl.edge.errors import UserError

Put = Callable[[Path, list[str]], None]


def test_every_column(tmp_path: Path, put_files: Put) -> None:
    put_files(tmp_path, ["clips/a.mp4", "clips/b.mp4", "far/c.mp4"])
    table = tmp_path / "clips" / "news.csv"
    table.write_text(
        "path,label,split,video,method,identity\n"
        "a.mp4,real,train,anna,,anna\n"
        "b.mp4,1,val,,lipsync,anna; ben\n"
        f"{tmp_path}/far/c.mp4,FAKE,test,,,\n"
    )
    anna, swap, far = LAYOUTS["csv"](table).present()
    assert anna.key == ("news", "real", "", "anna") and anna.label == 0
    assert anna.path == tmp_path / "clips/a.mp4" and anna.identities == ("anna",)
    assert swap.key == ("news", "lipsync", "", "b.mp4") and swap.label == 1
    assert swap.identities == ("anna", "ben") and swap.split == "val"
    assert far.path == tmp_path / "far/c.mp4" and (far.label, far.method) == (1, "fake")
    assert far.identities == ("c",)


def test_two_columns_and_a_folder(tmp_path: Path, put_files: Put) -> None:
    names = [f"p{i:02d}_{kind}.mp4" for i in range(20) for kind in ("x", "y")]
    put_files(tmp_path, names)
    rows = [f"{name},{int('y' in name)},5\n" for name in names]
    (tmp_path / "manifest.csv").write_text("path,label,stars\n" + "".join(rows))
    videos = list(manifest(tmp_path).present())
    people = {
        s: {v.identities[0] for v in videos if v.split == s} for s in ("train", "val", "test")
    }
    assert [len(people[s]) for s in people] == [14, 3, 3]
    assert len(videos) == 40 and len(set.union(*people.values())) == 20
    assert {v.dataset for v in videos} == {tmp_path.name}
    assert "not used: stars" in LAYOUTS["csv"](tmp_path).notes[0]


def test_a_missing_file_warns(
    tmp_path: Path, put_files: Put, caplog: pytest.LogCaptureFixture
) -> None:
    put_files(tmp_path, ["a.mp4"])
    (tmp_path / "m.csv").write_text("path,label,split\na.mp4,0,train\nb.mp4,1,train\n")
    with caplog.at_level(logging.WARNING):
        assert [v.path.name for v in manifest(tmp_path / "m.csv").present()] == ["a.mp4"]
    assert "1 of 2 listed videos are missing" in caplog.text
    (tmp_path / "a.mp4").unlink()
    with pytest.raises(UserError, match="received none: 2 listed are missing"):
        list(manifest(tmp_path / "m.csv").present())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,kind\na.mp4,0\n", "received path,kind; add label"),
        ("", "add path,label"),
        ("path,label\n", "a line per video, received none"),
        ("path,label,split\na.mp4,0,dev\n", "line 2: expected a split train, val, test"),
        ("path,label,split\na.mp4,0,train\nb.mp4,0,\n", "line 3: expected a split"),
        ("path,label,split\na.mp4,yes,train\n", "line 2: expected a label"),
        ("path,label,split\n,1,train\n", "line 2: expected a path"),
        ("path,label,label\na.mp4,0,1\n", "keep one column label"),
        ("path,label\na,b.mp4,0\n", "line 2: expected 2 values, received '0' behind them"),
        ('path,label,source\na.mp4,0,"x\nb.mp4,1,y\n', "unexpected end of data; look at its"),
        ('path,label,source\na.mp4,0,"x\nb.mp4,1,y"\n', "a value that ends lines .*with 'x'"),
        (f"path,label\n{'x' * 300}.mp4,0\n", "line 2: expected a path of names of 255 bytes"),
        ("path,label,method\na.mp4,1,real\n", "line 2: expected the method of a fake"),
        ("path,label\na.mp4,\0\n", "bytes of 0, as no text does; save it as CSV in UTF-8"),
    ],
)
def test_what_is_not_understood(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        manifest(tmp_path)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected a CSV file .*manifest\.csv"):
        list(manifest(tmp_path).present())


def test_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_bytes("path,label\nmüller.mp4,1\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"expected a CSV file .*manifest\.csv: 'utf-8' codec"):
        list(manifest(tmp_path).present())


SHEET = [
    ("Path", " Label ", "Split"),
    ("v\\a_1.mp4", "real", "Train"),
    ("v\\b_1.mp4", "FAKE", "VAL"),
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_table_as_a_spreadsheet_writes_it(
    encoding: str, mark: str, end: str, tmp_path: Path, put_files: Put
) -> None:
    put_files(tmp_path, ["v/a_1.mp4", "v/b_1.mp4"])
    lines = [mark.join(row) for row in SHEET] + ["", mark.join(("", "", ""))]
    (tmp_path / "t.csv").write_bytes(end.join(lines).encode(encoding))
    one, other = LAYOUTS["csv"](tmp_path / "t.csv").present()
    assert (one.path, one.label, one.split) == (tmp_path / "v/a_1.mp4", 0, "train")
    assert (other.path, other.label, other.split) == (tmp_path / "v/b_1.mp4", 1, "val")


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\r\npath;label;split\r\nv/a.mp4;0;train\r\nv/b.mp4;1;vai\r\n",  # Excel's own
        "\npath|label|split\n\nv/a.mp4|0|train\nv/b.mp4|1|vai\n",
    ],
)
def test_lines_above_the_names_do_not_count_but_are_counted(
    text: str, tmp_path: Path, put_files: Put
) -> None:
    put_files(tmp_path, ["v/a.mp4", "v/b.mp4"])
    last = len(text.splitlines())
    (tmp_path / "t.csv").write_bytes(text.encode())
    with pytest.raises(UserError, match=f"line {last}: expected a split .*received 'vai'"):
        LAYOUTS["csv"](tmp_path / "t.csv")
    (tmp_path / "t.csv").write_bytes(text.replace("vai", "val").encode())
    assert [v.label for v in LAYOUTS["csv"](tmp_path / "t.csv").present()] == [0, 1]


def test_a_pair_is_the_real_of_that_path_whatever_it_is_called(
    tmp_path: Path, put_files: Put
) -> None:
    put_files(tmp_path, ["v/a.mp4", "v/b.mp4", "v/c.mp4"])
    (tmp_path / "t.csv").write_text(
        "path,label,split,video,method,pair\n"
        "v/a.mp4,0,train,Anna,phone,\n"
        "v/b.mp4,1,train,Swap,swap,v\\a.mp4\n"
        "v/c.mp4,1,train,,swap,./v/b.mp4\n"  # a fake
    )
    index = LAYOUTS["csv"](tmp_path / "t.csv")
    real, swap, lost = (next(v for v in index.videos if v.path.stem == n) for n in "abc")
    assert (real.video_id, real.method) == ("Anna", "real")  # what pairs and --only go by
    assert (swap.original, lost.original) == ("Anna", "")
    assert index.notes == (
        f"{tmp_path / 't.csv'}: 1 fakes have a pair that is no listed real, the first is "
        f"{tmp_path / 'v/b.mp4'}",
    )


def test_a_name_with_a_back_slash_is_that_files_where_it_is_there(
    tmp_path: Path, put_files: Put
) -> None:
    put_files(tmp_path, ["v\\a.mp4"])
    (tmp_path / "t.csv").write_text("path,label,split\nv\\a.mp4,0.0,train\n")
    (video,) = LAYOUTS["csv"](tmp_path / "t.csv").present()
    assert video.path.name == "v\\a.mp4" and video.label == 0


def test_a_pattern_names_people_where_the_table_does_not(tmp_path: Path, put_files: Put) -> None:
    put_files(tmp_path, ["v/x_ann.mp4", "v/x_ben.mp4"])
    rows = "path,label,split,identity\nv/x_ann.mp4,0,train,\nv/x_ben.mp4,1,val,zoe\n"
    (tmp_path / "t.csv").write_text(rows)
    index = read_index(tmp_path / "t.csv", "csv", "x_([a-z]+)")
    assert [v.identities for v in index.videos] == [("ann",), ("zoe",)]
    assert index.people == "what 'x_([a-z]+)' finds in their paths"
    (tmp_path / "t.csv").write_text(rows.replace("train,\n", "train,amy\n"))
    assert read_index(tmp_path / "t.csv", "csv").people == ""  # all named


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("a.mp4,fake,train", "line 4: expected one label for a.mp4, received fake, and real in"),
        ("x/../a.mp4,fake,train", "line 4: expected one label for a.mp4, received fake, and real"),
        ("a.mp4,real,test", "line 4: expected one split for a.mp4, received test, and train in"),
    ],
)
def test_a_file_is_not_two_things(line: str, says: str, tmp_path: Path) -> None:
    """Also where `prepare` and `train` read the table, not only where `verify` does."""
    table = tmp_path / "t.csv"
    table.write_text(f"path,label,split\na.mp4,real,train\nb.mp4,fake,val\n{line}\n")
    with pytest.raises(UserError, match=says):
        LAYOUTS["csv"](table)
