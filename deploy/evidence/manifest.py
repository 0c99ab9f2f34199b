"""What a manifest says before its files are there, and what its folder is called."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

from deploy.bundle import Bundle
from deploy.judging.records import Record
from deploy.judging.verdict import Policy
from deploy.sources.redact import redact
from keras_ddl import __version__
from keras_ddl.edge.bundle import MODEL_FILE
from keras_ddl.edge.files import file_sha256

FORMAT = "keras-ddl evidence"
SCHEMA = 1


class Witness:
    """Who says so: model, rule and program, the same in every manifest of a run.

    Args:
        bundle: The model; its file is hashed here.
        policy: The rule of the verdicts.
        facts: What else shall be said.
    """

    def __init__(self, bundle: Bundle, policy: Policy, facts: Mapping[str, Any]) -> None:
        model = file_sha256(bundle.path / MODEL_FILE)
        self.fields: dict[str, Any] = {
            "model": {
                "id": bundle.model_id,
                "weights_sha256": bundle.spec.weights_sha256 or model,
                "model_sha256": model,
                "domain": bundle.domain,
            },
            "thresholds": {"fake_from": policy.fake_from, "real_to": policy.real_to},
            "policy": dataclasses.asdict(policy),
            "clipspec": json.loads(bundle.spec.to_json()),
            "program": {"name": "keras-ddl", "version": __version__},
            "facts": dict(facts),
        }


def draft_of(record: Record, source: str, start: Record, witness: Witness) -> dict[str, Any]:
    """The manifest of an event as far as it is known when it happens.

    Args:
        record: The verdict's.
        source: Name of the source.
        start: The start record of that source; empty where it is not known.
        witness: Who says so.
    """
    return {
        "format": FORMAT,
        "schema": SCHEMA,
        "event": record["event"],
        "at": record["at"],
        "source": redact(source) if "://" in source else source,
        "time_ms": float(record["time_ms"]),
        "track": record["track"],
        "verdict": record["verdict"],
        "previous_verdict": record.get("previous"),
        "probability_smoothed": record.get("probability_smoothed"),
        "reason": record.get("reason", ""),
        **witness.fields,
        "backend": start.get("backend"),
        "detector": start.get("detector"),
        "footage": start.get("footage"),
        "clips": [],
        "video": None,
    }


def folder_name(draft: Mapping[str, Any]) -> str:
    """Sorts by time, tells the source, and is unique through the event's id."""
    moment = re.sub(r"[^0-9T]", "", str(draft["at"])[:19])
    place = str(draft["source"]).rstrip("/").rpartition("/")[2]
    source = re.sub(r"[^A-Za-z0-9]+", "-", place).strip("-")[:32] or "source"
    event = re.sub(r"[^A-Za-z0-9]+", "-", str(draft["event"]))[:40]
    return f"{moment}_{source}_{event}"
