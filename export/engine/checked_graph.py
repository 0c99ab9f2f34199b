"""A prepared graph on disk: written beside its final place, checked, and only then put there."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from export.engine.job import Job
from export.engine.plan import write_plan
from export.engine.prepare import PreparedGraph, prepare
from export.engine.rules import RULES, require
from export.graph.mixed_fp16 import computes_in_float16
from export.parity.divergence import BOUNDS, find_divergence
from export.parity.prove import Candidate, Passed, prove
from export.parity.runtimes import ask_float16, ask_in_full

if TYPE_CHECKING:
    import numpy as np


def checked_graph(job: Job, precision: str) -> PreparedGraph:
    """Prepare the graph of one precision, check it, and write it with its plan.

    The checks, in order: TensorRT's rules; the answers of the bundle's own graph, where there is
    float16 once more with float16 that is float16.

    Raises:
        UserError: it cannot be prepared (2 or 3), or a check failed (4): an earlier graph is then
            untouched, and the refused one lies beside it to be looked into.
    """
    files = job.files(precision)
    prepared = prepare(
        job.proto, precision, job.target, job.clips.measured, job.clips.calibrated, job.ranges
    )
    files.folder.mkdir(exist_ok=True)
    files.refused.write_bytes(prepared.proto.SerializeToString(deterministic=True))
    require(prepared.proto, job.target, str(files.refused))

    def explain(clip: np.ndarray, in_float16: bool) -> object:
        return find_divergence(job.proto, prepared.proto, clip, BOUNDS[precision], in_float16)

    candidate = Candidate(
        f"the {precision} graph",
        partial(ask_in_full, files.refused),
        partial(ask_float16, prepared.proto) if computes_in_float16(prepared.proto) else None,
        explain,
    )
    reference = partial(ask_in_full, files.model)
    passed = prove(reference, candidate, job.clips.compared, job.limits(precision))
    files.refused.replace(files.graph)
    typing = write_plan(job, precision, prepared)["typing"]
    print(f"{files.graph}: {job.target.name}, typing {typing}, {len(RULES)} rules kept")
    for note in (*prepared.notes, *_measured(job, passed)):
        print(f"  {note}")
    return prepared


def _measured(job: Job, passed: Passed) -> list[str]:
    found = passed.agreement
    lines = [f"graph against the bundle's on {found.clips} {job.clips.compared.origin}: {found}"]
    if passed.float16:
        judged = " (on noise, with looser bounds)" if job.clips.noise else ""
        lines.append(f"truly in float16{judged}: {passed.float16}")
    if passed.own:
        lines.append(f"bounds raised by what the least noise changes: {passed.own}")
    return lines
