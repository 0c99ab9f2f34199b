"""Options that the commands share: which faces are looked for, and where."""

from __future__ import annotations

import pytest

from deploy.judging.options import add_face_options, search_rule
from keras_ddl.edge.errors import Parser
from keras_ddl.edge.faces.search import SearchRule


def parsed(*arguments: str) -> SearchRule:
    parser = Parser(prog="stream.py")
    add_face_options(parser)
    return search_rule(parser.parse_args(arguments))


def test_the_whole_picture_every_half_second_and_every_face_by_itself() -> None:
    assert parsed() == SearchRule(full_every=12, min_face=0.0)


def test_as_asked() -> None:
    assert parsed("--min-face", "80", "--full-search-every", "25") == SearchRule(25, 80.0)
    assert parsed("--full-search-every", "1") == SearchRule()  # as training


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--min-face", "0", "expected a number > 0, got '0'"),
        ("--min-face", "-5", "expected a number > 0, got '-5'"),
        ("--min-face", "inf", "expected a number > 0, got 'inf'"),
        ("--min-face", "large", "expected a number > 0, got 'large'"),
        ("--full-search-every", "0", "expected a whole number >= 1, got '0'"),
        ("--full-search-every", "2.5", "expected a whole number >= 1, got '2.5'"),
    ],
)
def test_what_is_no_size_or_count_is_one_line(
    option: str, value: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed(f"{option}={value}")
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert f"argument {option}: {expected}" in said and "Traceback" not in said
