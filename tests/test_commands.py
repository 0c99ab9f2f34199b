"""One name for all commands: what it runs, what it says, how words are completed, and the wheel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from keras_ddl import __version__
from keras_ddl.__main__ import help_text, main
from keras_ddl.edge.commands import COMMANDS, ROOT, typed


def test_the_help_names_every_command_once() -> None:
    lines = help_text().splitlines()
    named = [line.split()[0] for line in lines if line.startswith("  ")]
    assert sorted(named) == sorted(COMMANDS)
    assert max(map(len, lines)) <= 80


def test_without_a_word_and_with_a_wrong_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == main(["--help"]) == 0
    assert capsys.readouterr().out == 2 * f"{help_text()}\n"
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"
    assert main(["trian"]) == 2
    assert "unknown command 'trian'; did you mean 'train'?" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_knows_its_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: keras-ddl {name} [")


def test_what_is_named_works_where_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert typed("to-onnx") == "keras-ddl to-onnx"
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert typed("to-onnx") == "keras-ddl to-onnx"
    monkeypatch.chdir(ROOT)
    assert typed("to-onnx") == "python export/to_onnx.py"
    assert typed("train") == "python -m keras_ddl.train"
    for command in COMMANDS.values():
        word, what = command.in_checkout.split()[:2]
        if word == "python" and what != "-m":
            assert (ROOT / what).is_file()


def complete(line: str, tmp_path: Path) -> list[str]:
    """What a shell that asks is told."""
    pytest.importorskip("argcomplete")
    out = tmp_path / "words"
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(out),
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_SHELL": "bash",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "COMP_TYPE": "9",
    }
    command = [sys.executable, "-m", "keras_ddl"]
    subprocess.run(command, env=environment, capture_output=True, timeout=60)
    return sorted(word.strip() for word in out.read_text().splitlines())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("keras-ddl to-", ["to-onnx", "to-trt"]),
        ("keras-ddl scan --file", ["--file-timeout"]),
        ("keras-ddl to-trt --target r", ["rtx"]),
    ],
)
def test_words_are_completed(line: str, words: list[str], tmp_path: Path) -> None:
    assert complete(line, tmp_path) == words


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_are_told_how(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("argcomplete")
    assert main(["completion", shell]) == 0
    assert "keras-ddl" in capsys.readouterr().out
