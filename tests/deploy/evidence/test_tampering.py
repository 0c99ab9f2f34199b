"""Tampering by somebody who can write to an evidence folder and knows how it is made."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("cv2")
pytest.importorskip("av")

from forged_evidence import edit, folder, lines_of, write_lines

from deploy.evidence.__main__ import main


def flip_a_bit(root: Path) -> None:
    path = folder(root, "b") / "clip.mp4"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def shorten(root: Path) -> None:
    path = folder(root, "b") / "scores.csv"
    path.write_bytes(path.read_bytes()[:-1])


def remove_a_file(root: Path) -> None:
    (folder(root, "b") / "crops_000.png").unlink()


def add_a_file(root: Path) -> None:
    (folder(root, "b") / "more.png").write_bytes(b"x")


def link_a_file(root: Path) -> None:
    path = folder(root, "b") / "clip.mp4"
    path.rename(root.parent / "elsewhere.mp4")
    path.symlink_to(root.parent / "elsewhere.mp4")


def edit_a_manifest(root: Path) -> None:
    edit(folder(root, "b") / "manifest.json", lambda facts: facts.update(track=9))


def break_a_manifest(root: Path) -> None:
    (folder(root, "b") / "manifest.json").write_text("{")


def reach_outside(root: Path) -> None:
    def change(facts: dict[str, object]) -> None:
        facts["files"]["../chain.jsonl"] = {"sha256": "0" * 64, "bytes": 1}

    edit(folder(root, "b") / "manifest.json", change)


def remove_an_event(root: Path) -> None:
    shutil.rmtree(folder(root, "b"))


def add_an_event(root: Path) -> None:
    shutil.copytree(folder(root, "b"), root / "20261125T100009_door_z")


def swap_two_folders(root: Path) -> None:
    first, second = folder(root, "a"), folder(root, "b")
    first.rename(root / "t")
    second.rename(first)
    (root / "t").rename(second)


def swap_two_lines(root: Path) -> None:
    opened, one, two, three = lines_of(root)
    write_lines(root, [opened, two, one, three], linked=False)


def take_an_event_out_of_the_chain_too(root: Path) -> None:
    remove_an_event(root)
    opened, one, _, three = lines_of(root)
    write_lines(root, [opened, one, {**three, "sequence": 2, "line": 3}], linked=True)


def rewrite_an_event_and_its_line(root: Path) -> None:
    edit_a_manifest(root)
    lines = lines_of(root)
    data = (folder(root, "b") / "manifest.json").read_bytes()
    lines[2]["manifest_sha256"] = hashlib.sha256(data).hexdigest()
    write_lines(root, lines, linked=True)


def pretend_the_quota_took_it(root: Path) -> None:
    remove_an_event(root)
    lines = lines_of(root)
    dropped = {**lines[2], "type": "dropped", "line": 5}
    write_lines(root, [*lines, dropped], linked=True)


def pretend_the_quota_took_the_oldest(root: Path, **changes: object) -> None:
    """As the writer would have it, only that nothing was asked to go."""
    shutil.rmtree(folder(root, "a"))
    opened, one, *rest = lines_of(root)
    names = ("folder", "sequence", "manifest_sha256")
    forged = {"type": "dropped", **{name: one[name] for name in names}, "line": 5}
    forged |= {"reason": "max_bytes", "limit": opened["limits"]["max_bytes"]}
    forged |= {"written": "2036-01-01T00:00:00.000+00:00", **changes}
    write_lines(root, [opened, one, *rest, forged], linked=True)


def pretend_a_smaller_quota_took_it(root: Path) -> None:
    pretend_the_quota_took_the_oldest(root, limit=1)


def pretend_its_days_were_over(root: Path) -> None:
    pretend_the_quota_took_the_oldest(root, reason="keep_days", limit=1)


def let_it_go_in_an_early_versions_words(root: Path) -> None:
    pretend_the_quota_took_the_oldest(root, reason="max_bytes", limit=None)


def hide_an_event(root: Path) -> None:
    folder(root, "b").rename(root / ".b")


def make_an_event_look_unfinished(root: Path) -> None:
    path = folder(root, "b")
    path.rename(path.with_name(f"{path.name}.partial"))


def take_an_event_out_and_make_it_look_unfinished(root: Path) -> None:
    path = folder(root, "c")
    path.rename(path.with_name(f"{path.name}.partial"))
    write_lines(root, lines_of(root)[:-1], linked=True)


def add_a_hidden_folder(root: Path) -> None:
    shutil.copytree(folder(root, "b"), root / ".b")


def use_the_lock(root: Path) -> None:
    (root / ".lock").write_text("x")


def link_the_chain(root: Path) -> None:
    (root / "chain.jsonl").rename(root.parent / "elsewhere.jsonl")
    (root / "chain.jsonl").symlink_to(root.parent / "elsewhere.jsonl")


def add_a_stamp_of_nothing(root: Path) -> None:
    (root / "stamps").mkdir()
    (root / "stamps" / f"{'0' * 64}.tsr").write_bytes(b"x")


def forget_the_hash_of_a_clip(root: Path) -> None:
    (folder(root, "b") / "crops_000.png").unlink()
    edit(folder(root, "b") / "manifest.json", lambda facts: facts["files"].pop("crops_000.png"))


def say_less_bytes(root: Path) -> None:
    lines = lines_of(root)
    lines[3]["bytes"] = 1
    write_lines(root, lines, linked=True)


def remove_the_chain(root: Path) -> None:
    (root / "chain.jsonl").unlink()


def cut_the_last_line(root: Path) -> None:
    path = root / "chain.jsonl"
    path.write_bytes(path.read_bytes()[:-5])


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (flip_a_bit, "_b: clip.mp4 was changed (SHA-256 differs)"),
        (shorten, "_b: scores.csv has "),
        (remove_a_file, "_b: crops_000.png is missing"),
        (add_a_file, "_b: more.png was added"),
        (link_a_file, "_b: clip.mp4 is missing"),
        (edit_a_manifest, "_b: manifest.json was changed"),
        (break_a_manifest, "_b: manifest.json is not a manifest"),
        (reach_outside, "_b: '../chain.jsonl' in manifest.json is no plain file name"),
        (remove_an_event, "_b: the event is missing (removed)"),
        (add_an_event, "_z: was added, the chain does not know it"),
        (swap_two_folders, "_a: manifest.json was changed"),
        (swap_two_lines, "chain.jsonl, line 2: does not follow the line before it"),
        (take_an_event_out_of_the_chain_too, "_c: does not follow the event before it"),
        (pretend_the_quota_took_the_oldest, "line 5: lets go of an event though max_bytes did not"),
        (pretend_a_smaller_quota_took_it, "for a limit that was never in force (max_bytes)"),
        (pretend_its_days_were_over, "for a limit that was never in force (keep_days)"),
        (let_it_go_in_an_early_versions_words, "for a limit that was never in force (max_bytes)"),
        (hide_an_event, ".b: was added, the chain does not know it"),
        (make_an_event_look_unfinished, "_b.partial: is unfinished, and nobody records it"),
        (take_an_event_out_and_make_it_look_unfinished, "_c.partial: is unfinished, and nobody"),
        (add_a_hidden_folder, ".b: was added, the chain does not know it"),
        (use_the_lock, ".lock: holds something"),
        (link_the_chain, "chain.jsonl is missing"),
        (add_a_stamp_of_nothing, "was added, it stamps no line of the chain"),
        (forget_the_hash_of_a_clip, "_b: crops_000.png belongs to it, manifest.json has no hash"),
        (say_less_bytes, "_c: does not take the bytes that chain.jsonl says"),
        (rewrite_an_event_and_its_line, "_c: does not follow the event before it"),
        (pretend_the_quota_took_it, "line 5: lets go of an event that is not the oldest"),
        (remove_the_chain, "chain.jsonl is missing"),
        (cut_the_last_line, "chain.jsonl: its last line is cut short"),
    ],
)
def test_tampering_is_found(
    root: Path, capsys: pytest.CaptureFixture[str], tamper: Callable[[Path], None], said: str
) -> None:
    tamper(root)
    assert main(["verify", str(root)]) == 4
    lines = capsys.readouterr().out.splitlines()
    assert any(said in line and "PROBLEM" in line for line in lines), lines
    assert " problem" in lines[-1] and "unbroken" not in lines[-1]
