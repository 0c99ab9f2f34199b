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

from keras_ddl.comparison.process import SPAWNED, Command, Ended, Task, run_tasks

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Call with source: makes it the module of a step `made up`."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), str(ROOT))))
    monkeypatch.setitem(SPAWNED, "made up", "made_up_command")

    def write(source: str) -> None:
        (tmp_path / "made_up_command.py").write_text(source)

    return write


def run_alone(*arguments: str, log: Path) -> Ended:
    """Run the step `made up`, with the terminal."""
    found = []

    def task() -> Task:
        found.append((yield Command("made up", arguments, log)))

    run_tasks([task()], 1, ())
    return found[0]


def test_output_is_shown_and_recorded(
    module: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    module(
        "import sys\nprint('a table of', *sys.argv[1:])\n"
        "print('\\rhalf\\rwhole \\nä note', file=sys.stderr)"
    )
    log = tmp_path / "deep" / "one.log"
    assert run_alone("--x", "1 2", log=log) == Ended(0)
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
    module(f"import os, sys\n{source}")
    found = run_alone(log=log)
    assert found == Ended(code, reason.format(log=log))
    assert "error: " not in capfd.readouterr().err  # the caller tells it
    if code == 3:
        assert "error: no such thing" in log.read_text()


def test_a_command_that_was_interrupted_interrupts(module: Any, tmp_path: Path) -> None:
    module("import sys; sys.exit(130)")
    with pytest.raises(KeyboardInterrupt):
        run_alone(log=tmp_path / "one.log")


SLEEPER = """
import sys, time
from pathlib import Path
from keras_ddl.edge.errors import run_cli
def body():
    try:
        for _ in range(1200):  # a minute
            print("\\rworking", end="", file=sys.stderr, flush=True)
            Path(sys.argv[1]).touch()
            time.sleep(0.05)
    finally:
        Path(sys.argv[2]).touch()
sys.exit(run_cli(body))
"""
PARENT = """
import sys
from pathlib import Path
from keras_ddl.comparison.matrix import held
from keras_ddl.comparison.process import SPAWNED, Command, run_tasks
from keras_ddl.edge.errors import run_cli
SPAWNED["made up"] = "made_up_command"
def task(out, name):
    files = (str(out / f"begun{name}"), str(out / f"closed{name}"))
    yield Command("made up", files, out / f"{name}.log")
def body():
    out, names = Path(sys.argv[1]), sys.argv[2:]
    with held(out, "the same again") as lock:
        run_tasks((task(out, name) for name in names), len(names), (lock,))
    return 0
sys.exit(run_cli(body))
"""


def begun(module: Any, out: Path, names: str) -> subprocess.Popen[str]:
    module(SLEEPER)
    line = [sys.executable, "-c", PARENT, str(out), *names]
    parent = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    while not all((out / f"begun{name}").exists() for name in names):
        assert parent.poll() is None
        time.sleep(0.05)
    return parent


@pytest.mark.parametrize(
    ("word", "names"), [(signal.SIGINT, "a"), (signal.SIGTERM, "a"), (signal.SIGTERM, "ab")]
)
def test_an_interruption_lets_the_commands_close_what_they_write(
    module: Any, tmp_path: Path, processes: Any, word: int, names: str
) -> None:
    out = tmp_path / "out"
    with begun(module, out, names) as parent:
        children = processes.children(parent.pid)
        assert len(children) == len(names)
        parent.send_signal(word)
        assert parent.wait(30) == 130
        assert all((out / f"closed{name}").exists() for name in names)
        assert processes.end(children)
        *shown, last = parent.stderr.read().splitlines()
    assert last == "error: interrupted; go on with: the same again"
    assert ("working" in shown) == (names == "a")  # of one that has the terminal


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
    files = (str(tmp_path / "begun"), str(tmp_path / "closed"))
    with pytest.raises(KeyboardInterrupt):
        run_alone(*files, log=tmp_path / "one.log")
    assert (tmp_path / "closed").exists()


def test_a_killed_parents_commands_end_and_keep_the_folder_until_then(
    module: Any, tmp_path: Path, processes: Any
) -> None:
    from keras_ddl.comparison.matrix import held
    from keras_ddl.edge.errors import UserError

    out = tmp_path / "out"
    with begun(module, out, "ab") as parent:
        children = processes.children(parent.pid)
        with pytest.raises(UserError, match="another command writes"), held(out, ""):
            pass
        parent.kill()
        parent.stderr.close()
    assert children and processes.end(children)
    with held(out, ""):
        pass


MEETS = """
import os, sys, time
from pathlib import Path
mine, other, code = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
mine.touch()
for _ in range(600):
    if other.exists():
        print("error: of", mine.name, os.environ["OMP_NUM_THREADS"], file=sys.stderr)
        sys.exit(code)
    time.sleep(0.05)
sys.exit(4)
"""


def test_several_at_a_time_each_on_one_thread_and_silent(
    module: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each of the first two ends only when the other has begun; the third comes after one."""
    module(MEETS)
    said = []

    def task(name: str, other: str, code: int) -> Task:
        files = (str(tmp_path / name), str(tmp_path / other), str(code))
        said.append(f"{name} begins")
        said.append((yield Command("made up", files, tmp_path / f"{name}.log")).reason)

    run_tasks([task("a", "b", 2), task("b", "a", 3), task("c", "a", 2)], 2, ())
    assert said[:2] == ["a begins", "b begins"] and "c begins" in said[3:]
    assert {line for line in said if "begins" not in line} == {f"of {name} 1" for name in "abc"}
    assert capfd.readouterr() == ("", "")
    assert "error: of b 1" in (tmp_path / "b.log").read_text()


def test_an_error_in_a_task_ends_the_other_commands(module: Any, tmp_path: Path) -> None:
    module(SLEEPER)

    def sleeping() -> Task:
        files = (str(tmp_path / "begun"), str(tmp_path / "closed"))
        yield Command("made up", files, tmp_path / "one.log")

    def broken() -> Task:
        while not (tmp_path / "begun").exists():
            time.sleep(0.01)
        raise OSError("no space left")
        yield

    with pytest.raises(OSError, match="no space left"):
        run_tasks([sleeping(), broken()], 2, ())
    assert (tmp_path / "closed").exists()
