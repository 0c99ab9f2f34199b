"""Experiment matrix of a comparison or an ablation, which goes on where it was stopped."""

from __future__ import annotations

import fcntl
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from keras_ddl.comparison.cell import BUNDLE, EXPORT, Cell
from keras_ddl.comparison.costs import Costs
from keras_ddl.comparison.entrants import Entrant
from keras_ddl.comparison.process import SPAWNED, Command, Ended, Task, run_tasks
from keras_ddl.comparison.record import Record, Speed
from keras_ddl.edge.errors import CHECK_FAILED, INTERRUPTED, UserError
from keras_ddl.edge.files import file_sha256, read_json, write_json

COSTS = "costs.json"
SPEED = "speed.json"
LOCK = ".lock"
OF_THE_DATA = ("seed", "synthetic_videos", "synthetic_difficulty", "synthetic_seed")
"""Settings that make no other network."""


@contextmanager
def held(out: Path, command: str) -> Iterator[int]:
    """Keep a matrix' folder for this process and the commands that it starts.

    Args:
        out: The folder.
        command: What goes on with it after an interruption.

    Yields:
        File descriptor of the folder's lock.

    Raises:
        UserError: Another one has it, or this one was interrupted.
    """
    out.mkdir(parents=True, exist_ok=True)
    with (out / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(
                f"another command writes {out}, or a training that one has left; wait for it, or "
                "name another --out"
            ) from error
        try:
            yield lock.fileno()
        except KeyboardInterrupt:
            raise UserError(f"interrupted; go on with: {command}", INTERRUPTED) from None


class Matrix:
    """Runs what a matrix lacks.

    Args:
        record: Is told what was found, and writes it after every cell.
        cache: Folder of prepared sets.
        speed: Whether to export and to time.
        jobs: Cells at a time.
        lock: File descriptor of the folder's lock.
    """

    def __init__(self, record: Record, cache: Path, speed: bool, jobs: int, lock: int) -> None:
        self._record, self._cache, self._speed, self._jobs = record, cache, speed, jobs
        self._hold = (lock,)
        self._code = 0

    def run(self) -> int:
        """Run what is missing; return the exit code, the worst of all that failed."""
        from tqdm import tqdm

        record = self._record
        for cell in record.cells:
            if cell.begun():  # before any hour is spent
                cell.check(self._prepared(cell))
        for entrant in record.entrants:
            if refusal := entrant.refusal:
                self._failed(entrant, "", Ended(refusal.exit_code, str(refusal)))
        total = len(record.entrants) * len(record.datasets)
        open_ = [cell for cell in record.cells if not cell.finished(self._speed)]
        with tqdm(total=total, initial=total - len(open_), desc=record.kind, unit="cell") as bar:
            self._costs(bar)
            record.speeds = _known_speeds(self._bundles(), record.out)
            record.write()
            run_tasks((self._cell(cell, bar) for cell in open_), self._jobs, self._hold)
        if self._speed:
            record.speeds = _known_speeds(self._bundles(), record.out)
            run_tasks([self._speeds()], 1, self._hold)
        record.write()
        return self._code

    def _costs(self, bar: Any) -> None:
        """Build every network once: what it costs, or why it cannot be trained."""
        file = self._record.out / COSTS
        kept = read_json(file) if file.is_file() else {}
        sharing: dict[str, list[Entrant]] = {}
        for entrant in self._record.entrants:
            if entrant.refusal is None:
                sharing.setdefault(entrant.network, []).append(entrant)
        built = (self._network(entrants, kept, bar) for entrants in sharing.values())
        run_tasks(built, self._jobs, self._hold)

    def _network(self, entrants: Sequence[Entrant], kept: dict[str, Any], bar: Any) -> Task:
        """Build the network that some entrants share, where `kept` has not its costs."""
        first, out = entrants[0], self._record.out
        network, config = first.network, first.config.to_dict()
        config = {key: value for key, value in config.items() if key not in OF_THE_DATA}
        if kept.get(network, {}).get("config") != config:
            self._say(bar, f"{network}: what it costs")
            fresh = out / f".costs-{network}.new"
            options = (*first.options(), "--out", str(fresh))
            ended = yield Command("costs", options, out / f"costs-{network}.log")
            if ended.code:
                self._told(first.title, ended)
                for entrant in entrants:
                    self._record.errors[entrant.name, ""] = ended.reason
                return
            kept[network] = {"config": config, "found": read_json(fresh)}
            fresh.unlink()
            write_json(out / COSTS, kept)
        self._record.costs[network] = Costs(**kept[network]["found"])

    def _cell(self, cell: Cell, bar: Any) -> Task:
        """Run the commands that a cell lacks, and write what came of them."""
        if (cell.entrant.name, "") not in self._record.errors:
            yield from self._commands(cell, bar)
        self._record.write()
        bar.update()

    def _commands(self, cell: Cell, bar: Any) -> Task:
        what = f"{cell.entrant.title} on {cell.dataset.title}"
        try:
            prepared = self._prepared(cell)
        except UserError as error:  # its videos cannot be cut to its clips
            self._failed(cell.entrant, cell.dataset.name, Ended(error.exit_code, str(error)))
            return
        done: list[str] = []
        while command := cell.next_command(prepared, self._speed):
            if command.step in done:
                ended = Ended(
                    CHECK_FAILED, f"{command.step} ended well and left nothing in {cell.run}"
                )
            else:
                self._say(bar, f"{what}: {command.step}")
                ended = yield command
            if ended.code:
                self._failed(cell.entrant, cell.dataset.name, ended, command.step == EXPORT)
                break
            done.append(command.step)
        if done and (result := cell.result()):
            auc, (low, high) = result.test.video["auc"], result.test.intervals["video"]["auc"]
            bar.write(f"{what}: AUC of videos {auc:.4f} ({low:.4f} to {high:.4f})")

    def _speeds(self) -> Task:
        """Time one bundle of each entrant: on every dataset it is the same network."""
        bundles, record = self._bundles(), self._record
        if not bundles:
            record.speed_error = "there is no bundle to time"
            return
        if record.speeds.keys() == bundles.keys():
            return
        fresh = record.out / f".{SPEED}.new"
        fresh.unlink(missing_ok=True)
        arguments = (*map(str, bundles.values()), "--out", str(fresh))
        ended = yield Command("speed", arguments, record.out / "speed.log")
        record.speeds = {}  # all from one hour, or none
        if not ended.code:
            ended = self._measured(bundles, fresh)
        if ended.code:
            record.speed_error = ended.reason
            self._told("speed", ended)

    def _measured(self, bundles: Mapping[str, Path], fresh: Path) -> Ended:
        """Read what was measured and keep it with the digests of the graphs."""
        try:
            found = read_json(fresh)
            speeds = {name: Speed(**found[str(bundle)]) for name, bundle in bundles.items()}
            if not all(speed.clips_per_second > 0 for speed in speeds.values()):
                raise ValueError("a speed that is not above 0")
        except (UserError, KeyError, TypeError, ValueError) as error:
            wrong = f"{SPAWNED['speed']} wrote something else than expected: {error}"
            return Ended(CHECK_FAILED, wrong)
        fresh.unlink()
        kept = {name: asdict(speed) for name, speed in speeds.items()}
        write_json(self._record.out / SPEED, {"models": _digests(bundles), "speeds": kept})
        self._record.speeds = speeds
        return Ended(0)

    def _bundles(self) -> dict[str, Path]:
        """One bundle of each entrant that has any."""
        found: dict[str, Path] = {}
        for cell in self._record.cells:
            if cell.finished(export=True):
                found.setdefault(cell.entrant.name, cell.run / BUNDLE)
        return found

    def _prepared(self, cell: Cell) -> Path:
        return cell.dataset.prepared(cell.entrant.config, self._cache)

    def _failed(self, entrant: Entrant, dataset: str, ended: Ended, export: bool = False) -> None:
        """Keep why something has no result, and say so at once."""
        kept = self._record.export_errors if export else self._record.errors
        kept[entrant.name, dataset] = ended.reason
        self._told(f"{entrant.title}{' on ' + dataset if dataset else ''}", ended)

    def _told(self, what: str, ended: Ended) -> None:
        from tqdm import tqdm

        tqdm.write(f"{what}: {ended.reason}", file=sys.stderr)
        self._code = max(self._code, ended.code)

    def _say(self, bar: Any, words: str) -> None:
        """Show the matrix' bar with what comes next, and leave the line below it to that."""
        bar.set_postfix_str(words)
        if self._jobs == 1:
            print(file=sys.stderr, flush=True)


def _known_speeds(bundles: Mapping[str, Path], out: Path) -> dict[str, Speed]:
    """Return what was measured before of those bundles that are still the same."""
    kept = out / SPEED
    if not kept.is_file():
        return {}
    before = read_json(kept)
    return {
        name: Speed(**before["speeds"][name])
        for name, digest in _digests(bundles).items()
        if before["models"].get(name) == digest
    }


def _digests(bundles: Mapping[str, Path]) -> dict[str, str]:
    return {name: file_sha256(bundle / "model.onnx") for name, bundle in bundles.items()}
