"""What a command prints and returns when something goes wrong."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from keras_ddl.edge.errors import CHECK_FAILED, INTERRUPTED, MISSING, USAGE, UserError, run_cli


def failing(error: BaseException):
    """A command's body that raises."""

    def body() -> int:
        raise error

    return body


@pytest.mark.parametrize(
    ("number", "helps", "code"),
    [
        (errno.ENOSPC, "make room", MISSING),
        (errno.EMFILE, "ulimit", MISSING),
        (errno.EROFS, "can be written to", USAGE),  # an output that is not to be written, as ever
        (errno.EACCES, "permissions", USAGE),
    ],
)
def test_what_the_machine_refuses_is_one_line(
    number: int, helps: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(failing(OSError(number, os.strerror(number), "out/a.bin"))) == code
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "'out/a.bin'" in said and helps in said


def test_a_disk_that_is_full_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The system's own full disk."""

    def body() -> int:
        with open("/dev/full", "w") as file:
            file.write("x" * 100_000)
        return 0

    assert run_cli(body) == MISSING
    assert "No space left on device; make room" in capsys.readouterr().err


def test_exit_codes_are_the_documented_ones():
    assert (USAGE, MISSING, CHECK_FAILED, INTERRUPTED) == (2, 3, 4, 130)


@pytest.mark.parametrize("code", [0, 4])
def test_a_body_that_returns_decides_the_code(code: int, capsys: pytest.CaptureFixture[str]):
    assert run_cli(lambda: code) == code
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError("no such file"), 2),  # the default: bad usage or input
        (UserError("no such file", MISSING), 3),
        (UserError("no such file", CHECK_FAILED), 4),
    ],
)
def test_a_user_error_is_one_line(error: UserError, code: int, capsys: pytest.CaptureFixture[str]):
    assert run_cli(failing(error)) == code
    assert capsys.readouterr() == ("", "error: no such file\n")


def test_an_interrupt_is_130_without_a_traceback(capsys: pytest.CaptureFixture[str]):
    assert run_cli(failing(KeyboardInterrupt())) == 130
    assert capsys.readouterr() == ("", "interrupted\n")


def test_a_mistake_in_the_program_is_not_swallowed():
    with pytest.raises(ZeroDivisionError):
        run_cli(failing(ZeroDivisionError()))


PRINTS = """
import sys
from keras_ddl.edge.errors import run_cli
def body():
    {statement}
    return 0
sys.exit(run_cli(body))
"""


@pytest.mark.parametrize("lines", [1, 100_000])  # left in the buffer, or more than a pipe holds
def test_a_reader_that_went_away_is_no_error(lines: int):
    code = PRINTS.format(statement=f"print('x\\n' * {lines})")
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_another_broken_pipe_is_a_mistake():
    with pytest.raises(BrokenPipeError):
        run_cli(failing(BrokenPipeError()))
