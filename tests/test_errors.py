"""What a command prints and returns when something goes wrong."""

from __future__ import annotations

import pytest

from keras_ddl.errors import CHECK_FAILED, INTERRUPTED, MISSING, USAGE, UserError, run_cli


def failing(error: BaseException):
    """A command's body that raises."""

    def body() -> int:
        raise error

    return body


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
