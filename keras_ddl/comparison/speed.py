"""`measure`: clips per second of exported graphs, all in one process, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_ddl.comparison.process import Ended, run_command
from keras_ddl.edge.errors import CHECK_FAILED, UserError
from keras_ddl.edge.files import file_sha256, read_json, write_json

MODULE = "export.clips_per_second"
SPEED = "speed.json"
PER_SECOND = "clips_per_second"


def measure(
    bundles: Mapping[str, Path], out: Path, hold: Sequence[int] = ()
) -> tuple[dict[str, Any], Ended]:
    """Time bundles, unless just these have been timed before.

    They are timed together, so that the numbers of one table come from one machine and one hour.

    Args:
        bundles: A method's name → its bundle.
        out: Folder of the comparison; `speed.json` in it keeps what was found.
        hold: See `run_command`.

    Returns:
        Name → what was measured, `clips_per_second` among it; and how it ended.
    """
    found_before = known(bundles, out)
    if found_before.keys() == bundles.keys():
        return found_before, Ended(0)
    fresh = out / f".{SPEED}.new"
    fresh.unlink(missing_ok=True)
    arguments = [*map(str, bundles.values()), "--out", str(fresh)]
    ended = run_command(MODULE, arguments, out / "speed.log", hold)
    if ended.code:
        return {}, ended
    try:
        found = read_json(fresh)
        speeds = {name: found[str(bundle)] for name, bundle in bundles.items()}
        if not all(speed[PER_SECOND] > 0 for speed in speeds.values()):
            raise ValueError("a speed that is not above 0")
    except (UserError, KeyError, TypeError, ValueError) as error:
        return {}, Ended(CHECK_FAILED, f"{MODULE} wrote something else than expected: {error}")
    fresh.unlink()
    write_json(out / SPEED, {"models": _digests(bundles), "speeds": speeds})
    return speeds, ended


def known(bundles: Mapping[str, Path], out: Path) -> dict[str, Any]:
    """Return what was measured before of those bundles that are still the same."""
    kept = out / SPEED
    if not kept.is_file():
        return {}
    before = read_json(kept)
    return {
        name: before["speeds"][name]
        for name, digest in _digests(bundles).items()
        if before["models"].get(name) == digest
    }


def _digests(bundles: Mapping[str, Path]) -> dict[str, str]:
    return {name: file_sha256(bundle / "model.onnx") for name, bundle in bundles.items()}
