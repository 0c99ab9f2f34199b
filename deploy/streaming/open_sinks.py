"""The sinks that the options of `deploy/stream.py` ask for."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deploy.bundle import Bundle
from deploy.judging.verdict import policy_for
from deploy.sinks import STDOUT, AnnotatedVideo, JsonLines, Progress, Sink, Window
from deploy.sinks.mqtt.discovery import Discovery, discovery_asked
from deploy.streaming.runner import Runner
from deploy.telemetry import Telemetry

GIB = 1 << 30
MIB = 1 << 20


def open_sinks(
    args: argparse.Namespace, runner: Runner, bundle: Bundle, telemetry: Telemetry
) -> list[Sink]:
    """Make and open them.

    Raises:
        UserError: one can never work as it was asked for.
    """
    limit = args.jsonl_max_mib * MIB if args.jsonl_max_mib else None
    sinks: list[Sink] = [JsonLines(args.jsonl, limit)]
    names = [plan.name for plan in runner.plans]
    if args.save:
        sinks.append(AnnotatedVideo(args.save, args.save_minutes, names))
    if args.show:
        sinks.append(Window(runner.quit))
    if args.evidence:
        sinks.append(_evidence(args, bundle))
    model = f"{bundle.model_id} (trained on {bundle.domain})"
    sinks += _network(args, runner, telemetry, discovery_asked(args, model))
    crowded = args.jsonl == STDOUT and sys.stdout.isatty()  # lines and bar on one screen
    if not (crowded or any(plan.live for plan in runner.plans)):
        sinks.append(Progress(runner.length))
    for sink in sinks:
        sink.open()
    return sinks


def _evidence(args: argparse.Namespace, bundle: Bundle) -> Sink:
    from deploy.evidence.store import MAX_BYTES
    from deploy.sinks.evidence_folder import EvidenceFolder

    room = MAX_BYTES if args.evidence_max_gib is None else int(args.evidence_max_gib * GIB)
    policy = policy_for(bundle, args.domain)
    return EvidenceFolder(
        args.evidence,
        bundle,
        policy,
        max_bytes=room,
        keep_days=args.evidence_days,
        key=args.evidence_key,
        stamps=args.evidence_stamps,
        ca=args.ca,
    )


def _network(
    args: argparse.Namespace, runner: Runner, telemetry: Telemetry, discovery: Discovery | None
) -> list[Sink]:
    sinks: list[Sink] = []
    spool: Path = args.spool
    if args.mqtt:
        from deploy.sinks.mqtt.events import MqttEvents

        sinks.append(
            MqttEvents(
                args.mqtt,
                runner,
                spool,
                args.mqtt_clips,
                ca=args.ca,
                certificate=args.mqtt_certificate,
                telemetry=telemetry,
                discovery=discovery,
            )
        )
    if args.webhook:
        from deploy.sinks.http.signature import secret_from_environment
        from deploy.sinks.http.webhook import Webhook

        secret = secret_from_environment()
        sinks.append(Webhook(args.webhook, spool, secret, ca=args.ca, telemetry=telemetry))
    return sinks
