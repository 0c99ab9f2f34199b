"""The log for programs."""

from __future__ import annotations

import json
import logging

from deploy.log_lines import JsonFormatter


def test_a_line_is_one_json_object_whatever_stands_in_it() -> None:
    record = logging.LogRecord(
        "deploy.streaming.source_worker",
        logging.WARNING,
        "",
        0,
        'lost "%s"\nat once',
        ("rtsp://***@cam",),
        None,
    )
    record.created = 0.25
    text = JsonFormatter().format(record)
    assert "\n" not in text
    line = json.loads(text)
    assert line.pop("thread")
    assert line == {
        "at": "1970-01-01T00:00:00.250Z",
        "level": "warning",
        "logger": "deploy.streaming.source_worker",
        "message": 'lost "rtsp://***@cam"\nat once',
    }


def test_a_traceback_stays_inside_its_line() -> None:
    try:
        raise ValueError("one\ntwo")
    except ValueError as error:
        trouble = (type(error), error, error.__traceback__)
    record = logging.LogRecord("x", logging.ERROR, "", 0, "trouble", (), trouble)
    text = JsonFormatter().format(record)
    assert "\n" not in text
    assert json.loads(text)["traceback"].endswith("ValueError: one\ntwo")
