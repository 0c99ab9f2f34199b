"""Rows of a CSV file that lists videos."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from keras_ddl.edge.errors import UserError
from keras_ddl.edge.storage.address import Address
from keras_ddl.edge.storage.store import Store

Row = dict[str, str]

_SEPARATOR_LINE = re.compile(r"\s*sep=(.)[^\S\r\n]*(?=[\r\n])")  # Excel's own first line


def read_rows(
    table: Path | Address, required: Sequence[str]
) -> tuple[list[str], list[tuple[int, Row]]]:
    """Read a CSV file with a line of column names.

    As spreadsheets write it, too: in UTF-8 or UTF-16, between commas, semicolons, tabs or bars,
    below a line `sep=;`; blanks around names and values, empty lines, and capitals in names, do not
    count.

    Args:
        table: The file, or its address.
        required: Columns that must be there.

    Returns:
        The columns, and per line its number in the file and its values, "" where it is too short.

    Raises:
        UserError: If it cannot be read, lacks a column or names one twice, has no line below the
            names, or a line with more values than names or a value over several lines.
    """
    stored = Store(table).read(table) if isinstance(table, Address) else None
    try:
        if isinstance(table, Address) and stored is None:
            raise FileNotFoundError("there is no such file")
        data = table.read_bytes() if isinstance(table, Path) else stored or b""
        wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = data.decode("utf-16" if wide else "utf-8-sig")
        if "\0" in text:
            raise ValueError("it holds bytes of 0, as no text does")
        lines = list(_lines(text))
    except (OSError, ValueError, csv.Error) as error:
        quotes = "; look at its double quotes" if isinstance(error, csv.Error) else ""
        remedy = "; save it as CSV in UTF-8" if isinstance(error, ValueError) else quotes
        raise UserError(
            f"expected a CSV file with the columns {','.join(required)}, received {table}: "
            f"{error}{remedy}"
        ) from error
    columns = [name.lower() for name in lines[0][1]] if lines else []
    _check_columns(table, columns, required)
    rows = [(number, _row(table, number, columns, values)) for number, values in lines[1:]]
    if not rows:
        raise UserError(f"{table}: expected a line per video, received none")
    return columns, rows


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines that are not empty, with the number of their last line in the file."""
    named = _SEPARATOR_LINE.match(text)
    head = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = named[1] if named else max(",;\t|", key=head.count)
    if named:
        text = text[named.end() :]
    before = named[0].count("\n") if named else 0
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    for values in reader:
        if any(value.strip() for value in values):
            yield before + reader.line_num, [value.strip() for value in values]


def _check_columns(table: Path | Address, columns: Sequence[str], required: Sequence[str]) -> None:
    received = f"expected the columns {','.join(required)}, received {','.join(columns)}"
    if lacking := [name for name in required if name not in columns]:
        raise UserError(f"{table}: {received}; add {','.join(lacking)}")
    twice = [name for name, count in Counter(columns).items() if name and count > 1]
    if twice:
        raise UserError(f"{table}: {received}; keep one column {twice[0]}")


def _row(table: Path | Address, number: int, columns: Sequence[str], values: Sequence[str]) -> Row:
    more = [value for value in values[len(columns) :] if value]
    if more:
        raise UserError(
            f"{table}, line {number}: expected {len(columns)} values, received {more[0]!r} behind "
            "them; put a value that holds the separator into double quotes"
        )
    for value in values:
        if "\n" in value or "\r" in value:
            raise UserError(
                f"{table}, line {number}: expected a video per line, received a value that ends "
                f"lines after it began, with {value.splitlines()[0]!r}; close its double quotes"
            )
    return {**dict.fromkeys(columns, ""), **dict(zip(columns, values, strict=False))}
