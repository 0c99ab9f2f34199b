"""Container files: what they copy, call, watch and show is there. No image is built here."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml")
pytest.importorskip("prometheus_client")

from deploy.dashboard.app import METRICS
from deploy.dashboard.exposition import exposition
from deploy.sources.base import State
from deploy.streaming.options import stream_parser
from deploy.telemetry import Telemetry

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "deploy" / "docker"
IMAGES = ("cpu", "cuda", "jetson")
INSTRUCTIONS = {"ARG", "FROM", "ENV", "RUN", "WORKDIR", "COPY", "USER", "EXPOSE", "HEALTHCHECK"}
INSTRUCTIONS |= {"ENTRYPOINT", "CMD"}


def instructions(image: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, in order, and what is said in each."""
    text = (DOCKER / f"{image}.Dockerfile").read_text()
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    whole = lines.replace("\\\n", " ").splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in whole) if word]


def kept_by_docker(path: str) -> bool:
    """Whether `.dockerignore`, which names what may pass, lets a path of the checkout pass."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return lines[0] == "*" and f"!{path}" in lines


@pytest.mark.parametrize("image", IMAGES)
def test_a_dockerfile_copies_what_is_there_and_what_the_wheel_needs(image: str) -> None:
    said = instructions(image)
    assert {word for word, _ in said} <= INSTRUCTIONS
    assert [word for word, _ in said if word in ("FROM", "ENTRYPOINT", "CMD")] == [
        "FROM",
        "ENTRYPOINT",
        "CMD",
    ]
    copied = [name for word, rest in said if word == "COPY" for name in rest.split()[:-1]]
    assert all((ROOT / name).exists() and kept_by_docker(name) for name in copied)
    assert {"pyproject.toml", "README.md", "LICENSE", "keras_ddl", "export", "deploy"} <= {*copied}
    users = [rest for word, rest in said if word == "USER"]
    assert users == ["ddl"]  # and not root
    assert said.index(("USER", "ddl")) < [word for word, _ in said].index("HEALTHCHECK")


@pytest.mark.parametrize("image", IMAGES)
def test_what_a_container_runs_and_is_asked(image: str) -> None:
    said = dict(instructions(image))
    assert json.loads(said["ENTRYPOINT"]) == ["keras-ddl"]
    command, *options = json.loads(said["CMD"])
    assert command == "stream"
    args = stream_parser("").parse_args(options)
    assert str(args.config) == "/config/streams.toml" and str(args.bundle) == "/bundle"
    _, asked = said["HEALTHCHECK"].split("CMD ")
    code = json.loads(asked)[2]
    compile(code, "healthcheck", "exec")
    address = re.search(r"http://127\.0\.0\.1:(\d+)(/\w+)", code)
    assert address is not None and address[2] == "/healthz"
    assert args.dashboard.endswith(f":{address[1]}") and address[1] in said["EXPOSE"].split()


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    return found


def test_compose_calls_the_runner_as_it_can_be_called(services: dict[str, Any]) -> None:
    runner = services["services"]["runner"]
    command, *options = runner["command"]
    args = stream_parser("").parse_args(options)
    assert command == "stream" and args.mqtt == "mqtt://broker"
    assert (DOCKER / runner["build"]["context"]).resolve() == ROOT
    assert (ROOT / runner["build"]["dockerfile"]).is_file()
    ports = [port for one in services["services"].values() for port in one.get("ports", [])]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)  # nothing is published


def test_compose_brings_what_it_mounts(services: dict[str, Any]) -> None:
    made_by_users = {"../../config", "../../bundle"}
    for name, one in services["services"].items():
        for mount in one.get("volumes", ()):
            source = mount.split(":")[0]
            known = source in services["volumes"] or source in made_by_users
            assert known or (DOCKER / source).is_file(), f"{name}: {mount}"
        assert {*one.get("secrets", ())} <= {*services["secrets"]}
        assert {*one.get("depends_on", ())} <= {*services["services"]}


def test_prometheus_asks_the_runner_by_a_name_that_it_answers_to(services: dict[str, Any]) -> None:
    (job,) = yaml.safe_load((DOCKER / "prometheus.yaml").read_text())["scrape_configs"]
    ((target,),) = (one["targets"] for one in job["static_configs"])
    host, port = target.split(":")
    options = services["services"]["runner"]["command"][1:]
    args = stream_parser("").parse_args(options)
    assert host == "runner" in args.dashboard_name and args.dashboard.endswith(f":{port}")
    assert job["metrics_path"] == METRICS
    assert job["authorization"]["credentials_file"] == str(args.dashboard_token_file)


def test_every_panel_asks_for_metrics_and_labels_that_there_are() -> None:
    shown = json.loads((DOCKER / "grafana" / "keras-ddl.json").read_text())
    source = yaml.safe_load((DOCKER / "grafana" / "provisioning.yaml").read_text())["datasources"]
    text = exposition(Telemetry(), []).decode()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\w+)$", text, re.MULTILINE))
    ends = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}
    there = {name + end for name, kind in kinds.items() for end in ends[kind]}
    states = {state.value for state in State}
    for panel in shown["panels"]:
        assert panel["datasource"]["uid"] == source[0]["uid"]
        for target in panel["targets"]:
            asked = {*re.findall(r"\b(?:keras_ddl|process)_\w+", target["expr"])}
            assert asked and asked <= there, (panel["title"], asked - there)
            for named in re.findall(r'state!?~"([^"]+)"', target["expr"]):
                assert {*named.split("|")} <= states
    places = [tuple(panel["gridPos"][k] for k in "xy") for panel in shown["panels"]]
    assert len(set(places)) == len(places) == 10
