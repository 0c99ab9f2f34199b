"""`Matrix`: everything that a comparison runs, in order, going on where it was stopped."""

from __future__ import annotations

import fcntl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from keras_ddl.comparison.cell import BUNDLE, EXPORT, Cell
from keras_ddl.comparison.process import Ended, run_command
from keras_ddl.comparison.record import Record
from keras_ddl.comparison.speed import known, measure
from keras_ddl.edge.errors import CHECK_FAILED, UserError
from keras_ddl.edge.files import read_json, write_json

COSTS = "costs.json"
LOCK = ".lock"


@contextmanager
def held(out: Path) -> Iterator[int]:
    """Keep a comparison's folder for this process and the commands that it starts.

    Raises:
        UserError: Another one has it.
    """
    out.mkdir(parents=True, exist_ok=True)
    with (out / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(
                f"another comparison writes {out}, or a training that one has left; wait for it, "
                "or name another --out"
            ) from error
        yield lock.fileno()


class Matrix:
    """Runs what a comparison lacks.

    Args:
        record: Is told what was found, and writes it after every cell.
        cache: Folder of prepared sets.
        speed: Whether to export and to time.
        lock: File descriptor of the folder's lock.
    """

    def __init__(self, record: Record, cache: Path, speed: bool, lock: int) -> None:
        self._record, self._cache, self._speed, self._hold = record, cache, speed, (lock,)
        self._code = 0

    def run(self) -> int:
        """Run what is missing; return the exit code, the worst of all that failed."""
        from tqdm import tqdm

        record = self._record
        for cell in record.cells:
            if cell.begun():  # before any hour is spent
                cell.check(self._prepared(cell))
        for entrant in record.entrants:
            if entrant.config is None:
                failed = Ended(entrant.code, entrant.error)
                self._failed(entrant.about.title, entrant.name, "", failed)
        total = len(record.entrants) * len(record.datasets)
        open_ = [cell for cell in record.cells if not cell.finished(self._speed)]
        done = total - len(open_)
        with tqdm(total=total, initial=done, desc="comparison", unit="cell") as bar:
            self._costs(bar)
            record.speeds = known(self._bundles(), record.out)
            record.write()
            for cell in open_:
                self._cell(cell, bar)
                record.write()
                bar.update()
        if self._speed:
            self._speeds()
        record.write()
        return self._code

    def _costs(self, bar: Any) -> None:
        """Build every network once: what it costs, or why it cannot be trained."""
        file = self._record.out / COSTS
        kept = read_json(file) if file.is_file() else {}
        for entrant in self._record.entrants:
            if entrant.config is None:
                continue
            config = entrant.config.to_dict()
            if kept.get(entrant.name, {}).get("config") != config:
                _say(bar, f"{entrant.about.title}: what it costs")
                fresh = self._record.out / f".{COSTS}.new"
                log = self._record.out / f"costs-{entrant.name}.log"
                options = [*entrant.options(), "--out", str(fresh)]
                ended = run_command("keras_ddl.comparison.costs", options, log, self._hold)
                if ended.code:
                    self._failed(entrant.about.title, entrant.name, "", ended)
                    continue
                kept[entrant.name] = {"config": config, "found": read_json(fresh)}
                fresh.unlink()
                write_json(file, kept)
            self._record.costs[entrant.name] = kept[entrant.name]["found"]

    def _cell(self, cell: Cell, bar: Any) -> None:
        """Run the steps that a cell lacks."""
        title, name = cell.entrant.about.title, cell.entrant.name
        if (name, "") in self._record.errors:
            return
        try:
            prepared = self._prepared(cell)
        except UserError as error:  # its videos cannot be cut to its clips
            self._failed(title, name, cell.dataset.name, Ended(error.exit_code, str(error)))
            return
        done: list[str] = []
        while step := cell.next_step(prepared, self._speed):
            _say(bar, f"{title} on {cell.dataset.title}: {step.name}")
            ended = (
                Ended(CHECK_FAILED, f"{step.name} ended well and left nothing in {cell.run}")
                if step.name in done
                else run_command(step.module, step.arguments, _log(cell), self._hold)
            )
            if ended.code:
                export = step.name == EXPORT
                self._failed(title, name, cell.dataset.name, ended, export)
                break
            done.append(step.name)
        if done and (facts := cell.facts()):
            auc, (low, high) = (
                facts["test"]["video"]["auc"],
                facts["test"]["intervals"]["video"]["auc"],
            )
            words = f"AUC of videos {auc:.4f} ({low:.4f} to {high:.4f})"
            bar.write(f"{title} on {cell.dataset.title}: {words}")

    def _speeds(self) -> None:
        """Time one bundle of each method: on every dataset it is the same network."""
        bundles = self._bundles()
        if not bundles:
            self._record.speed_error = "there is no bundle to time"
            return
        self._record.speeds, ended = measure(bundles, self._record.out, self._hold)
        if ended.code:
            self._record.speed_error = ended.reason
            self._told("speed", ended)

    def _bundles(self) -> dict[str, Path]:
        """One bundle of each method that has any."""
        found: dict[str, Path] = {}
        for cell in self._record.cells:
            if cell.finished(export=True):
                found.setdefault(cell.entrant.name, cell.run / BUNDLE)
        return found

    def _prepared(self, cell: Cell) -> Path:
        if cell.entrant.config is None:
            raise ValueError(f"{cell.run}: expected a cell with a configuration, got one without")
        return cell.dataset.prepared(cell.entrant.config, self._cache)

    def _failed(
        self, title: str, method: str, dataset: str, ended: Ended, export: bool = False
    ) -> None:
        """Keep why something has no result, and say so at once."""
        kept = self._record.export_errors if export else self._record.errors
        kept[method, dataset] = ended.reason
        self._told(f"{title}{' on ' + dataset if dataset else ''}", ended)

    def _told(self, what: str, ended: Ended) -> None:
        from tqdm import tqdm

        tqdm.write(f"{what}: {ended.reason}", file=sys.stderr)
        self._code = max(self._code, ended.code)


def _log(cell: Cell) -> Path:
    """What a cell's commands wrote; beside its run folder, which is the training's own."""
    return cell.run.with_name(f"{cell.run.name}.log")


def _say(bar: Any, words: str) -> None:
    """Show the matrix' bar with what comes next, and leave the line below it to that."""
    bar.set_postfix_str(words)
    print(file=sys.stderr, flush=True)
