"""Rows of a CSV file that lists videos."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Sequence
from pathlib import Path

from keras_ddl.edge.errors import UserError

Row = dict[str, str]


def read_rows(table: Path, required: Sequence[str]) -> tuple[list[str], list[tuple[int, Row]]]:
    """Read a CSV file with a line of column names.

    As spreadsheets write it, too: in UTF-8 or UTF-16, between commas, semicolons or tabs; blanks
    around names and values, and capitals in names, do not count.

    Args:
        table: The file.
        required: Columns that must be there.

    Returns:
        The columns, and per line its number in the file and its values, "" where it is too short.

    Raises:
        UserError: If it cannot be read, lacks a column or has no line below the names.
    """
    try:
        data = table.read_bytes()
        wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = data.decode("utf-16" if wide else "utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
        columns = [name.strip().lower() for name in next(reader, [])]
        rows = [
            (reader.line_num, {**dict.fromkeys(columns, ""), **_row(columns, values)})
            for values in reader
            if any(value.strip() for value in values)
        ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"expected a CSV file with the columns {','.join(required)}, received {table}: {error}"
        ) from error
    if lacking := [name for name in required if name not in columns]:
        raise UserError(
            f"{table}: expected the columns {','.join(required)}, received {','.join(columns)}; "
            f"add {','.join(lacking)}"
        )
    if not rows:
        raise UserError(f"{table}: expected a line per video, received none")
    return columns, rows


def _delimiter(text: str) -> str:
    """What stands between the names of the columns: the most frequent of comma, semicolon, tab."""
    head = text.partition("\n")[0]
    return max(",;\t", key=head.count)


def _row(columns: Sequence[str], values: Sequence[str]) -> Row:
    return {name: value.strip() for name, value in zip(columns, values, strict=False)}
