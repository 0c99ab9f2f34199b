"""Signed evidence against somebody who can write to its folder, and does not have the key."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("cv2")
pytest.importorskip("av")
pytest.importorskip("cryptography")

from forged_evidence import (
    edit,
    folder,
    hashed_bundle,
    lines_of,
    raw_lines,
    rebuild,
    write_events,
    write_raw,
)

from deploy.evidence.__main__ import main
from deploy.evidence.line import line_bytes
from deploy.evidence.signing import SigningKey
from keras_ddl.edge.errors import UserError


@dataclass(frozen=True)
class Place:
    """Two signed roots of one key: that of the camera `root`, and that of another one.

    Attributes:
        root: Evidence of the events a, b, c.
        other: Evidence of the events x, y; same source, same key.
        older: `root` as it was after the event b.
        key: The key that signed them.
        head: What was noted of `root` at its end.
    """

    root: Path
    other: Path
    older: Path
    key: Path
    head: str

    def verify(self, *options: str) -> int:
        known = {
            "--key": f"{self.key}.pub",
            "--heads": f"{self.key}.heads",
            "--head": self.head,
        }
        return main(["verify", str(self.root), *(w for o in options for w in (o, known[o]))])


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("signed")
    bundle, key = hashed_bundle(top / "model"), top / "keys" / "evidence.key"
    write_events(top / "root", bundle, events="ab", key=key)
    shutil.copytree(top / "root", top / "older")
    write_events(top / "root", bundle, events="c", key=key)
    write_events(top / "other", bundle, events="xy", key=key)
    return top


@pytest.fixture
def place(signed: Path, tmp_path: Path) -> Place:
    top = Path(shutil.copytree(signed, tmp_path / "top"))
    head = hashlib.sha256(raw_lines(top / "root")[-1]).hexdigest()
    return Place(top / "root", top / "other", top / "older", top / "keys" / "evidence.key", head)


def own_key(place: Place) -> SigningKey:
    """A key that the forger made."""
    return SigningKey.open(place.root.parent / "forger.key")


def append(place: Place, record: dict[str, object], signer: SigningKey | None = None) -> None:
    """Append a line as the writer would, with another key or none."""
    lines = raw_lines(place.root)
    previous = hashlib.sha256(lines[-1]).hexdigest()
    numbered = {**record, "line": len(lines) + 1, "previous": previous}
    write_raw(place.root, [*lines, line_bytes(numbered, signer)[:-1]])


def dropped(place: Place) -> dict[str, object]:
    """What the writer would say of the oldest event if the quota asked for it."""
    opened, oldest = lines_of(place.root)[:2]
    which = {name: oldest[name] for name in ("folder", "sequence", "manifest_sha256")}
    limit = {"reason": "max_bytes", "limit": opened["limits"]["max_bytes"]}
    return {"type": "dropped", **which, **limit, "written": oldest["written"]}


def without_signature(raw: bytes) -> bytes:
    return raw[: raw.index(b', "signature"')] + b"}"


def remove_an_event(place: Place) -> None:
    shutil.rmtree(folder(place.root, "b"))


def hide_an_event(place: Place) -> None:
    folder(place.root, "b").rename(place.root / ".b")


def make_an_event_look_unfinished(place: Place) -> None:
    path = folder(place.root, "b")
    path.rename(f"{path}.partial")


def rename_an_event(place: Place) -> None:
    path = folder(place.root, "b")
    path.rename(path.with_name(path.name + "x"))
    lines = raw_lines(place.root)
    write_raw(place.root, [line.replace(b"_door_b", b"_door_bx") for line in lines])


def edit_a_file_with_its_hashes(place: Place) -> None:
    path = folder(place.root, "b")
    (path / "scores.csv").write_bytes(b"")
    facts = {"sha256": hashlib.sha256(b"").hexdigest(), "bytes": 0}
    edit(path / "manifest.json", lambda value: value["files"].update({"scores.csv": facts}))
    rebuild(place.root)


def drop_the_oldest_unsigned(place: Place) -> None:
    append(place, dropped(place))
    shutil.rmtree(folder(place.root, "a"))


def drop_the_oldest_with_his_own_key(place: Place) -> None:
    append(place, dropped(place), own_key(place))
    shutil.rmtree(folder(place.root, "a"))


def open_with_his_own_key(place: Place) -> None:
    key = own_key(place)
    opened = lines_of(place.root)[0]
    opened.pop("signature")
    append(place, {**opened, "key": key.public}, key)
    drop_the_oldest_with_his_own_key(place)


def open_with_other_limits(place: Place) -> None:
    limits = {"max_bytes": 1, "keep_days": None}
    append(place, {**lines_of(place.root)[0], "limits": limits, "signature": None})


def change_the_limits(place: Place) -> None:
    first, *rest = raw_lines(place.root)
    write_raw(place.root, [first.replace(b'"max_bytes": 10737418240', b'"max_bytes": 1'), *rest])


def sort_the_lines_anew(place: Place) -> None:
    opened, one, two, three = raw_lines(place.root)
    write_raw(place.root, [opened, two, one, three])


def repeat_a_line(place: Place) -> None:
    lines = raw_lines(place.root)
    write_raw(place.root, [*lines, lines[-1]])


def strip_the_last_signature(place: Place) -> None:
    *lines, last = raw_lines(place.root)
    write_raw(place.root, [*lines, without_signature(last)])


def change_a_digit_of_the_last_signature(place: Place) -> None:
    *lines, last = raw_lines(place.root)
    other = b"0" if last[-3:-2] != b"0" else b"1"
    write_raw(place.root, [*lines, last[:-3] + other + last[-2:]])


def give_the_last_line_anothers_signature(place: Place) -> None:
    *lines, last = raw_lines(place.root)
    other = lines[-1][lines[-1].index(b', "signature"') :]
    write_raw(place.root, [*lines, without_signature(last)[:-1] + other])


def write_the_last_line_with_other_blanks(place: Place) -> None:
    *lines, last = raw_lines(place.root)
    write_raw(place.root, [*lines, last.replace(b'": ', b'":  ', 1)])


def end_the_last_line_otherwise(place: Place) -> None:
    *lines, last = raw_lines(place.root)
    write_raw(place.root, [*lines, last + b"\r"])


def strip_every_signature(place: Place) -> None:
    write_raw(place.root, [without_signature(line) for line in raw_lines(place.root)])


def rebuild_unsigned_around_the_manifests(place: Place) -> None:
    rebuild(place.root, lambda line: line.pop("key", None))


def name_no_key_any_more(place: Place) -> None:
    rebuild(place.root, lambda line: "key" in line and line.update(key=""))


def replace_the_key_in_a_manifest(place: Place) -> None:
    public = own_key(place).public
    edit(
        folder(place.root, "b") / "manifest.json",
        lambda facts: facts["signing"].update(public_key=public),
    )


def replace_the_key_in_the_chain(place: Place) -> None:
    public = own_key(place).public
    first, *rest = raw_lines(place.root)
    value = json.loads(first)
    write_raw(place.root, [first.replace(value["key"].encode(), public.encode()), *rest])


def rebuild_unsigned(place: Place) -> None:
    rebuild(
        place.root,
        lambda line: "key" in line and line.update(key=""),
        lambda facts: facts.update(signing=None),
    )


def rebuild_with_his_own_key(place: Place) -> None:
    key = own_key(place)
    rebuild(
        place.root,
        lambda line: "key" in line and line.update(key=key.public),
        lambda facts: facts["signing"].update(public_key=key.public),
        lambda line: line_bytes(json.loads(line), key)[:-1],
    )


def rebuild_as_an_early_version(place: Place) -> None:
    def old(facts: dict[str, object]) -> None:
        facts.pop("chain"), facts.pop("signing")

    write_raw(place.root, raw_lines(place.root)[1:])
    rebuild(place.root, lambda line: line.pop("line"), old)


def cut_the_tail(place: Place) -> None:
    shutil.rmtree(folder(place.root, "c"))
    write_raw(place.root, raw_lines(place.root)[:-1])


def cut_everything(place: Place) -> None:
    for path in place.root.glob("*_door_*"):
        shutil.rmtree(path)
    write_raw(place.root, raw_lines(place.root)[:1])


def remove_the_chain(place: Place) -> None:
    (place.root / "chain.jsonl").unlink()


def empty_the_chain(place: Place) -> None:
    for path in place.root.glob("*_door_*"):
        shutil.rmtree(path)
    write_raw(place.root, [])


def put_an_older_state_back(place: Place) -> None:
    shutil.rmtree(place.root)
    shutil.copytree(place.older, place.root)


def put_anothers_evidence_in_its_place(place: Place) -> None:
    shutil.rmtree(place.root)
    shutil.copytree(place.other, place.root)


def move_an_event_over(place: Place) -> None:
    shutil.move(folder(place.other, "x"), place.root)


def move_an_event_over_with_its_line(place: Place) -> None:
    move_an_event_over(place)
    write_raw(place.root, [*raw_lines(place.root), raw_lines(place.other)[1]])


def continue_with_anothers_chain(place: Place) -> None:
    for event in "xy":
        shutil.move(folder(place.other, event), place.root)
    write_raw(place.root, [*raw_lines(place.root), *raw_lines(place.other)])


def put_anothers_event_under_its_name(place: Place) -> None:
    path = folder(place.root, "b")
    shutil.rmtree(path)
    shutil.move(folder(place.other, "y"), path)


def add_an_unfinished_event(place: Place) -> None:
    path = folder(place.root, "b")
    shutil.copytree(path, place.root / "20261125T110000_door_z.partial")


KEY, END, HEAD = ("--key",), ("--key", "--heads"), ("--key", "--head")
TAMPERINGS = [  # what is done, what the one who verifies holds, what is said
    (remove_an_event, (), "_b: the event is missing (removed)"),
    (hide_an_event, (), ".b: was added"),
    (make_an_event_look_unfinished, (), "_b.partial: is unfinished"),
    (add_an_unfinished_event, (), "_z.partial: is unfinished"),
    (rename_an_event, (), "line 3: was not signed with the key"),
    (edit_a_file_with_its_hashes, (), "line 1: is not signed, though"),
    (drop_the_oldest_unsigned, (), "line 5: is not signed, though"),
    (drop_the_oldest_with_his_own_key, (), "line 5: was not signed with the key"),
    (open_with_his_own_key, (), "line 5: names the key"),
    (open_with_other_limits, (), "line 5: is not signed"),
    (change_the_limits, (), "line 1: was not signed"),
    (sort_the_lines_anew, (), "line 2: does not follow the line before it"),
    (repeat_a_line, (), "line 5: does not follow the line before it"),
    (strip_the_last_signature, (), "line 4: is not signed"),
    (change_a_digit_of_the_last_signature, (), "line 4: was not signed"),
    (give_the_last_line_anothers_signature, (), "line 4: was not signed"),
    (write_the_last_line_with_other_blanks, (), "line 4: was not signed"),
    (end_the_last_line_otherwise, (), "line 4: is not signed"),
    (strip_every_signature, (), "line 1: is not signed"),
    (rebuild_unsigned_around_the_manifests, (), "_c: names the key"),
    (name_no_key_any_more, (), "_a: names the key"),
    (replace_the_key_in_a_manifest, (), "_b: names the key"),
    (replace_the_key_in_the_chain, (), "line 1: was not signed"),
    (rebuild_unsigned, KEY, "no line is signed, though a key is expected"),
    (rebuild_with_his_own_key, KEY, "line 4: is signed with the key"),
    (rebuild_as_an_early_version, KEY, "no line is signed, though a key is expected"),
    (cut_the_tail, END, "cut off, or older"),
    (cut_the_tail, HEAD, "cut off"),
    (cut_everything, END, "cut off, or older"),
    (remove_the_chain, (), "chain.jsonl is missing"),
    (empty_the_chain, KEY, "no line is signed, though a key is expected"),
    (put_an_older_state_back, END, "cut off, or older"),
    (put_an_older_state_back, HEAD, "cut off"),
    (put_anothers_evidence_in_its_place, HEAD, "cut off"),
    (move_an_event_over, (), "_x: was added"),
    (move_an_event_over_with_its_line, (), "line 5: does not follow the line before it"),
    (continue_with_anothers_chain, (), "line 5: belongs to another chain"),
    (put_anothers_event_under_its_name, (), "_b: belongs to another chain"),
]


@pytest.mark.parametrize(
    ("tamper", "options", "said"), TAMPERINGS, ids=[f"{t.__name__}-{o}" for t, o, _ in TAMPERINGS]
)
def test_tampering_is_found(
    place: Place,
    capsys: pytest.CaptureFixture[str],
    tamper: Callable[[Place], None],
    options: tuple[str, ...],
    said: str,
) -> None:
    tamper(place)
    assert place.verify(*options) == 4
    lines = capsys.readouterr().out.splitlines()
    assert any("PROBLEM" in line and said in line for line in lines), lines
    assert place.verify(*dict.fromkeys((*options, "--key"))) == 4


def test_what_nobody_touched_is_proved_level_by_level(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.verify() == 0
    out = capsys.readouterr().out
    assert "signature: by the key" in out and "is not asked for (--key)" in out
    assert place.verify("--key", "--heads", "--head") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "end: lines 1 to 4 are as they were when that head was noted" in lines[1]
    assert "every line, and so every file and removal, was written by the holder" in lines[2]
    assert ": unbroken, complete up to the head, signed: 3 events" in lines[4]


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (rebuild_unsigned, "signature: none"),
        (rebuild_with_his_own_key, "that it is yours is not asked for (--key)"),
        (cut_the_tail, "lines cut off the end do not show otherwise"),
        (put_anothers_evidence_in_its_place, "note: chain.jsonl: was begun in a folder named"),
    ],
)
def test_what_only_a_level_that_was_not_asked_for_would_find_is_said_to_be_open(
    place: Place, capsys: pytest.CaptureFixture[str], tamper: Callable[[Place], None], said: str
) -> None:
    tamper(place)
    assert place.verify() == 0
    assert said in capsys.readouterr().out


def test_one_event_is_proved_with_the_chain_beside_it(place: Place, tmp_path: Path) -> None:
    key = ["--key", f"{place.key}.pub"]
    alone = tmp_path / "handed over"
    alone.mkdir()
    event = Path(shutil.copytree(folder(place.root, "b"), alone / folder(place.root, "b").name))
    assert main(["verify", str(event), *key]) == 4  # nothing signed is there
    shutil.copy(place.root / "chain.jsonl", alone)
    assert main(["verify", str(event), *key]) == 0
    (event / "scores.csv").write_bytes(b"")
    assert main(["verify", str(event), *key]) == 4


def test_no_key_vouches_for_lines_that_nobody_signed(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else a chain that was made anew without signatures would be signed by the next run."""
    bundle = hashed_bundle(tmp_path / "model")
    rebuild_unsigned(place)
    rebuild(place.root, lambda line: "chain" in line and line.update(chain="another"))
    with pytest.raises(UserError, match="received unsigned evidence") as caught:
        write_events(place.root, bundle, events="d", key=place.key)
    assert caught.value.exit_code == 2
    append(place, {**lines_of(place.root)[0], "key": own_key(place).public}, own_key(place))
    assert place.verify() == 4
    assert "line 5: begins to sign, the lines above are not" in capsys.readouterr().out


def test_the_quota_lets_signed_events_go(place: Place, tmp_path: Path) -> None:
    bundle = hashed_bundle(tmp_path / "model")
    root = write_events(tmp_path / "root", bundle, key=place.key)
    head = hashlib.sha256(raw_lines(root)[-1]).hexdigest()
    write_events(root, bundle, events="d", key=place.key, max_bytes=1)
    options = ["--key", f"{place.key}.pub", "--heads", f"{place.key}.heads", "--head", head]
    assert main(["verify", str(root), *options]) == 0
    assert [line["type"] for line in lines_of(root)].count("dropped") == 3
    assert os.listdir(root).count(folder(root, "d").name) == 1
