"""Commands in processes of their own: what is shown, what is kept, how they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from keras_ddl.comparison.process import Ended, run_command

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Call with source: makes it the module `made_up_command`."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), str(ROOT))))

    def write(source: str) -> str:
        (tmp_path / "made_up_command.py").write_text(source)
        return "made_up_command"

    return write


def test_output_is_shown_and_recorded(
    module: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    name = module(
        "import sys\nprint('a table of', *sys.argv[1:])\n"
        "print('\\rhalf\\rwhole \\nä note', file=sys.stderr)"
    )
    log = tmp_path / "deep" / "one.log"
    assert run_command(name, ["--x", "1 2"], log) == Ended(0)
    assert capfd.readouterr() == ("", "\rhalf\rwhole \nä note\n")
    lines = log.read_text().splitlines()
    assert lines[1] == "$ python -m made_up_command --x '1 2'"
    assert sorted(lines[2:]) == ["a table of --x 1 2", "whole", "ä note"]


@pytest.mark.parametrize(
    ("source", "code", "reason"),
    [
        ("print('error: no such thing', file=sys.stderr); sys.exit(3)", 3, "no such thing"),
        ("sys.exit(2)", 2, "exit code 2; see {log}"),
        ("raise KeyError('x')", 4, "KeyError: 'x'; see {log}"),
        ("os.kill(os.getpid(), 9)", 4, "ended by SIGKILL, perhaps for lack of memory; see {log}"),
    ],
)
def test_ends(
    module: Any,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    source: str,
    code: int,
    reason: str,
) -> None:
    log = tmp_path / "one.log"
    found = run_command(module(f"import os, sys\n{source}"), [], log)
    assert found == Ended(code, reason.format(log=log))
    assert "error: " not in capfd.readouterr().err  # the caller tells it
    if code == 3:
        assert "error: no such thing" in log.read_text()


def test_a_command_that_was_interrupted_interrupts(module: Any, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_command(module("import sys; sys.exit(130)"), [], tmp_path / "one.log")


SLEEPER = """
import sys, time
from pathlib import Path
from keras_ddl.edge.errors import run_cli
def body():
    try:
        Path(sys.argv[1]).touch()
        for _ in range(1200):  # a minute
            print("\\rworking", end="", file=sys.stderr, flush=True)
            time.sleep(0.05)
    finally:
        Path(sys.argv[2]).touch()
sys.exit(run_cli(body))
"""
PARENT = """
import sys
from pathlib import Path
from keras_ddl.comparison.matrix import held
from keras_ddl.comparison.process import run_command
from keras_ddl.edge.errors import run_cli
def body():
    out = Path(sys.argv[1])
    with held(out) as lock:
        files = [str(out / "begun"), str(out / "closed")]
        return run_command("made_up_command", files, out / "one.log", [lock]).code
sys.exit(run_cli(body))
"""


def begun(module: Any, out: Path) -> subprocess.Popen[str]:
    module(SLEEPER)
    line = [sys.executable, "-c", PARENT, str(out)]
    parent = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    while not (out / "begun").exists():
        assert parent.poll() is None
        time.sleep(0.05)
    return parent


@pytest.mark.parametrize("word", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_lets_the_command_close_what_it_writes(
    module: Any, tmp_path: Path, processes: Any, word: int
) -> None:
    out = tmp_path / "out"
    with begun(module, out) as parent:
        children = processes.children(parent.pid)
        parent.send_signal(word)
        assert parent.wait(30) == 130 and (out / "closed").exists()
        assert processes.end(children)
        assert parent.stderr.read().splitlines()[-2:] == ["working", "interrupted"]


def test_an_interruption_while_the_command_starts_is_not_lost(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = subprocess.Popen

    def interrupted(*arguments: Any, **options: Any) -> Any:
        started = real(*arguments, **options)
        while not (tmp_path / "begun").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        return started

    module(SLEEPER)
    monkeypatch.setattr(subprocess, "Popen", interrupted)
    files = [str(tmp_path / "begun"), str(tmp_path / "closed")]
    with pytest.raises(KeyboardInterrupt):
        run_command("made_up_command", files, tmp_path / "one.log")
    assert (tmp_path / "closed").exists()


def test_a_killed_parents_command_ends_and_keeps_the_folder_until_then(
    module: Any, tmp_path: Path, processes: Any
) -> None:
    from keras_ddl.comparison.matrix import held
    from keras_ddl.edge.errors import UserError

    out = tmp_path / "out"
    with begun(module, out) as parent:
        children = processes.children(parent.pid)
        with pytest.raises(UserError, match="another comparison writes"), held(out):
            pass
        parent.kill()
        parent.stderr.close()
    assert children and processes.end(children)
    with held(out):
        pass
