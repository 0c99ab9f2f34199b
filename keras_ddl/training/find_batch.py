"""The largest batch that fits into memory, found by trying: `train --find-batch`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from keras_ddl.config import SCALINGS, TrainConfig
from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.edge.memory import MIB, available_mib
from keras_ddl.training.batch_trial import Trial, run_trial

MARGIN = 0.15  # of the memory of a machine without GPU: validation, checkpoints, neighbours
FIRST = (1, 4)  # units
GROWTH = 8  # times the largest batch tried: no trial lies further out
FINENESS = 16  # stop where the answer is known to a sixteenth
HEADING = f"{'batch':>6}  {'peak MiB':>8}  {'s/step':>7}  {'clips/s':>7}"


def find_batch(
    config: TrainConfig,
    clips: int,
    limit: Callable[[], float],
    strategy: str,
    show: Callable[[str], None],
    memory_limit: float,
) -> Trial:
    """Find the largest global batch whose training steps fit into memory.

    A batch is a multiple of the devices, and of twice as many with twins. On GPUs it is doubled
    until TensorFlow runs out of memory, then bisected. Without, peak memory is taken as linear in
    the batch, which it nearly is: two small trials name a batch, and a trial at it proves it.

    Args:
        config: What is to be trained; its `batch` does not matter.
        clips: Clips to learn from: no batch is larger.
        limit: Asked once, where there is no GPU: what the process may take, MiB.
        strategy: One of `devices.STRATEGIES` that runs on one machine.
        show: Takes the rows of the table of trials.
        memory_limit: MiB that TensorFlow may take of each GPU; 0 = all.

    Returns:
        The trial of the batch found.

    Raises:
        UserError: If not even the smallest batch fits, or a step fails otherwise.
    """
    trials: dict[int, Trial] = {}

    def attempt(units: int) -> Trial:
        if units not in trials:
            trials[units] = run_trial(config, units, strategy, memory_limit)
            show(row(trials[units], units * trials[1].step))
        return trials[units]

    show(HEADING)
    first = attempt(1)
    most = clips // first.step
    if most < 1:
        raise UserError(
            f"expected at least {first.step} clips to learn from, received {clips}; prepare more"
        )
    if first.gpu:
        found = largest_by_halving(lambda units: attempt(units).fits, most)
        bound = memory_limit
    else:
        bound = limit()
        found = largest_by_line(lambda units: _peak(attempt(units)), bound, most)
    if not found:
        raise UserError(
            f"not even a batch of {max(first.batch, first.step)} fits"
            + (f" into {bound:.0f} MiB" if bound else "")
            + "; set a smaller size, width or frames, or precision=mixed_bfloat16",
            MISSING,
        )
    return trials[found]


def _peak(trial: Trial) -> float:
    return trial.peak_mib if trial.fits else math.inf


def largest_by_halving(fits: Callable[[int], bool], most: int) -> int:
    """Return the largest number that fits, to a sixteenth, by doubling and bisection; 0 if none.

    Args:
        fits: Asked for numbers from 1; true up to some number and false beyond.
        most: Largest number to ask for.
    """
    low, high = 0, 1
    while high <= most and fits(high):
        low, high = high, min(2 * high, most) if high < most else most + 1
    while high - low > max(1, low // FINENESS):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def largest_by_line(peak: Callable[[int], float], limit: float, most: int) -> int:
    """Return the largest number whose peak is within a limit, to a sixteenth; 0 if there is none.

    The line through the two measurements next to the limit names the next number to measure, until
    it names one that is known to fit.

    Args:
        peak: Of a number from 1: nearly linear; infinity where memory ended.
        limit: In the same unit.
        most: Largest number to ask for.
    """
    measured: dict[int, float] = {}
    low, high = 0, most + 1  # low fits, high does not
    number = FIRST[0]
    while high - low > max(1, low // FINENESS):
        measured[number] = peak(number)
        low, high = (number, high) if measured[number] <= limit else (low, number)
        if len(measured) < len(FIRST):
            number = min(FIRST[len(measured)], high - 1)
        else:
            number = _named(measured, limit)
        if low and low <= number <= low + low // FINENESS and number < high:
            break  # what the line names is known to fit, or hardly more
        number = min(max(number, low + 1), high - 1, GROWTH * max(low, 1))
    return low


def _named(measured: dict[int, float], limit: float) -> int:
    """Where the line through the two finite measurements next to the limit meets it."""
    finite = sorted(number for number, peak in measured.items() if math.isfinite(peak))
    within = sum(measured[number] <= limit for number in finite)
    pair = finite[max(0, min(within - 1, len(finite) - 2)) :][:2]
    if len(pair) < 2:
        return max(measured) // 2
    low, high = pair
    slope = (measured[high] - measured[low]) / (high - low)
    if slope <= 0:  # too little to be told from noise
        return GROWTH * high
    return math.floor(low + (limit - measured[low]) / slope)


def row(trial: Trial, batch: int) -> str:
    """A trial as a row under `HEADING`."""
    if not trial.fits:
        return f"{batch:>6}  {'—':>8}  out of memory"
    speed = trial.batch / trial.seconds
    return f"{batch:>6}  {trial.peak_mib:>8.0f}  {trial.seconds:>7.3f}  {speed:>7.1f}"


def report(config: TrainConfig, prepared: Path, strategy: str, memory_limit: float) -> str:
    """Find the largest batch for a configuration and its clips; print the trials.

    Args:
        config: What is to be trained.
        prepared: Folder of prepared clips.
        strategy: One of `devices.STRATEGIES` that runs on one machine.
        memory_limit: MiB to take instead of what is there; 0 = what is there.

    Returns:
        What to set, and what that means for the learning rate.

    Raises:
        UserError: As `find_batch`; also for a strategy over several machines.
    """
    from keras_ddl.data.prepared import read_split
    from keras_ddl.data.pseudo_fakes.rows import with_pseudo_fakes

    if strategy in ("multiworker", "tpu"):
        raise UserError(
            f"--find-batch tries on one machine: expected --strategy auto, none or mirrored, "
            f"received {strategy}; find the batch of one worker, then set it times the workers"
        )
    data = read_split(prepared, "train")
    mode = config.pseudo_fakes
    clips = len((with_pseudo_fakes(data, mode).data if mode else data).labels)
    held = sum(_held_mib(prepared, split) for split in ("train", "val"))

    def limit() -> float:
        free = memory_limit or available_mib()
        print(
            f"{free:.0f} MiB: {held:.0f} for decoded clips, {MARGIN:.0%} of the rest stay free",
            flush=True,
        )
        return (free - held) * (1 - MARGIN)

    found = find_batch(
        config, clips, limit, strategy, lambda line: print(line, flush=True), memory_limit
    )
    cap = f" (all clips there are: {clips})" if found.batch + found.step > clips else ""
    return "\n".join(
        (f"largest batch: {found.batch}{cap}; --set batch={found.batch}", rates(config, found))
    )


def _held_mib(prepared: Path, split: str) -> float:
    """Memory of the decoded clips that the pipeline keeps of a split, MiB."""
    from keras_ddl.data.pipeline import CACHE_BYTES
    from keras_ddl.data.prepared import read_split

    size = math.prod(read_split(prepared, split).clips.shape)
    return size / MIB if size <= CACHE_BYTES else 0.0


def rates(config: TrainConfig, found: Trial) -> str:
    """What the batch found makes of the learning rate, after warm-up, under each rule."""
    from keras_ddl.training.callbacks.learning_rate import learning_rate

    def rate(rule: str) -> float:
        scaled = replace(config, batch=found.batch, scale_lr=rule)
        return learning_rate(scaled, 0, config.warmup_steps)

    set_rule = f"scale_lr={config.scale_lr}" if config.scale_lr else "scale_lr empty"
    others = ", ".join(
        f"{rate(rule):.3g} with scale_lr={rule}" for rule in SCALINGS if rule != config.scale_lr
    )
    return (
        f"learning rate: {rate(config.scale_lr):.3g} as set ({set_rule}), {others} "
        f"(found with base_batch {config.base_batch})"
    )
