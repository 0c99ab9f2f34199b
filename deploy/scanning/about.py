"""Who judges files by which rule, as the summary of a scan and the result of an upload say it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from deploy.bundle import Bundle, known_errors
from deploy.judging.records import number
from deploy.judging.verdict import policy_for
from deploy.scanning.kit import Options
from keras_ddl import __version__
from keras_ddl.edge.bundle import MODEL_FILE
from keras_ddl.edge.files import file_sha256


def who_judges(bundle: Bundle, backend: str, options: Options) -> dict[str, Any]:
    """Who judges by which rule: a file is judged again when any of it changes."""
    policy = policy_for(bundle, options.footage)
    model = {
        "id": bundle.model_id,
        "weights_sha256": bundle.spec.weights_sha256,
        "model_sha256": file_sha256(bundle.path / MODEL_FILE),
        "domain": bundle.domain,
        "known_errors": known_errors(bundle),
        "backend": backend,
        "clipspec": json.loads(bundle.spec.to_json()),
    }
    thresholds = {"fake_from": number(policy.fake_from), "real_to": number(policy.real_to)}
    return {
        "program": f"keras-ddl {__version__}",
        "model": model,
        "thresholds": thresholds,
        "abstain": policy.abstain,
        "options": options.rules(),
    }


def rule_key(about: Mapping[str, Any]) -> str:
    """A digest of it: two that judge alike have the same."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
