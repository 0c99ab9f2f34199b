"""Log lines for people or for programs, on stderr."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime, timezone

from deploy.machine.quiet import silence_libraries

FORMATS = ("text", "json")


class JsonFormatter(logging.Formatter):
    """One JSON object per line: `at` (UTC), `level`, `logger`, `thread`, `message`."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        at = datetime.fromtimestamp(record.created, timezone.utc)
        line = {
            "at": at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "thread": record.threadName,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up_logging(form: str = "text") -> None:
    """Warnings, and what a source or the choice of detector says, to stderr.

    Native libraries are asked for silence; call this before they are first imported.

    Args:
        form: "text" or "json".
    """
    silence_libraries()
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if form == "json" else text)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("keras_ddl.edge.faces", "deploy"):
        logging.getLogger(name).setLevel(logging.INFO)
