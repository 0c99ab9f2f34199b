"""Manifest of an event: as it is begun, as it is read back, and the name of its folder."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.bundle import Bundle
from deploy.evidence.line import MANIFEST, json_object
from deploy.judging.records import Record
from deploy.judging.verdict import Policy
from deploy.sources.redact import redact
from keras_ddl import __version__
from keras_ddl.edge.bundle import MODEL_FILE
from keras_ddl.edge.files import file_sha256

FORMAT = "keras-ddl evidence"
SCHEMA = 1
AS_THEY_STAND = ("at", "source", "track", "probability_smoothed", "sequence")


@dataclass(frozen=True)
class StoredClip:
    """Crops of an event.

    Attributes:
        file: Name of the picture that holds them.
        frames: How many there are.
        size: Side of one in pixels.
        fake_probability: The score that they were given.
    """

    file: str
    frames: int
    size: int
    fake_probability: float


@dataclass(frozen=True)
class Manifest:
    """Manifest of an event as it is read back: anybody may have written it, so nothing is trusted.

    Attributes:
        at, source, track, probability_smoothed, sequence, model_id: As they stand there, else None.
        previous, chain, chain_head: The same, "" where there is no text.
        public_key: What is said to sign its line of the chain, "" for nothing.
        weights_sha256: Of the model that judged; "" where none is named.
        bundle: SHA-256 of that model's files, by name.
        files: Facts (`sha256`, `bytes`) by name; empty where the manifest has none.
    """

    at: object
    source: object
    track: object
    probability_smoothed: object
    sequence: object
    model_id: object
    previous: str
    chain: str
    chain_head: str
    public_key: str
    weights_sha256: str
    bundle: Mapping[str, object]
    files: Mapping[str, Mapping[str, object]]
    _clips: object
    _video: object

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read the manifest of an event's folder.

        Raises:
            ValueError: it is missing, no JSON, or no manifest; the message names the folder.
        """
        path = folder / MANIFEST
        if path.is_symlink() or not path.is_file():
            raise ValueError(f"{folder.name}: {MANIFEST} is missing")
        value = json_object(path.read_bytes())
        files = value.get("files")
        if value.get("format") != FORMAT or not isinstance(files, dict):
            raise ValueError(f"{folder.name}: {MANIFEST} is not a manifest of evidence")
        model = value.get("model")
        model = model if isinstance(model, dict) else {}
        signing, bundle = value.get("signing"), model.get("files")
        return cls(
            **{name: value.get(name) for name in AS_THEY_STAND},
            previous=str(value.get("previous") or ""),
            chain=str(value.get("chain") or ""),
            chain_head=str(value.get("chain_head") or ""),
            public_key=str(signing.get("public_key") or "") if isinstance(signing, dict) else "",
            bundle=bundle if isinstance(bundle, dict) else {},
            model_id=model.get("id"),
            weights_sha256=str(model.get("weights_sha256") or ""),
            files={n: facts if isinstance(facts, dict) else {} for n, facts in files.items()},
            _clips=value.get("clips"),
            _video=value.get("video"),
        )

    def named_files(self) -> set[str]:
        """Files that clips and video name, as far as they can be read."""
        clips = self._clips if isinstance(self._clips, list) else []
        parts = [part for part in (*clips, self._video) if isinstance(part, dict)]
        return {part["file"] for part in parts if isinstance(part.get("file"), str)}

    def clips(self) -> tuple[StoredClip, ...]:
        """Return the crops that led to the event, oldest first.

        Raises:
            ValueError: they are not described as they should be.
        """
        if not isinstance(self._clips, list):
            raise ValueError("it lists no clips")
        try:
            return tuple(
                StoredClip(
                    str(clip["file"]),
                    int(clip["frames"]),
                    int(clip["size"]),
                    float(clip["fake_probability"]),
                )
                for clip in self._clips
            )
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"a clip of it cannot be read: {error}") from error


class Witness:
    """Provenance: model, rule and program, the same in every manifest of a run.

    Args:
        bundle: The model; its file is hashed here where opening it did not.
        policy: The rule of the verdicts.
        facts: What else shall be said.
    """

    def __init__(self, bundle: Bundle, policy: Policy, facts: Mapping[str, Any]) -> None:
        # As they were when the model was loaded; what lies there by now may be another one.
        files = dict(bundle.files) or {MODEL_FILE: file_sha256(bundle.path / MODEL_FILE)}
        model = files[MODEL_FILE]
        self.fields: dict[str, Any] = {
            "model": {
                "id": bundle.model_id,
                "weights_sha256": bundle.spec.weights_sha256 or model,
                "model_sha256": model,
                "files": files,
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
