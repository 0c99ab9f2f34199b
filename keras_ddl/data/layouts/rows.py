"""Rows of a CSV file that lists videos."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from keras_ddl.edge.errors import UserError

Row = dict[str, str]


def read_rows(table: Path, required: Sequence[str]) -> tuple[list[str], list[tuple[int, Row]]]:
    """Read a CSV file with a line of column names.

    Args:
        table: The file, in UTF-8.
        required: Columns that must be there.

    Returns:
        The columns, and per line its number in the file and its values, "" where it is too short.

    Raises:
        UserError: If it cannot be read, lacks a column or has no line below the names.
    """
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="")
            columns = list(reader.fieldnames or ())
            rows = [(reader.line_num, row) for row in reader]
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
