"""Files that start a cluster: as Kubernetes and Ray have them, and as this program needs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml")

from deploy.scan import parser
from keras_ddl.edge.storage.address import Address

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "deploy" / "cluster"
SPEC = {"rayVersion", "headGroupSpec", "workerGroupSpecs"}
GROUP = {"rayStartParams", "template", "groupName", "replicas", "minReplicas", "maxReplicas"}


@pytest.fixture
def kuberay() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CLUSTER / "kuberay.yaml").read_text())
    return found


def groups(kuberay: dict[str, Any]) -> list[dict[str, Any]]:
    return [kuberay["spec"]["headGroupSpec"], *kuberay["spec"]["workerGroupSpecs"]]


def test_the_pods_are_what_kubernetes_takes(kuberay: dict[str, Any]) -> None:
    validator = pytest.importorskip("kubernetes_validate")
    assert (kuberay["apiVersion"], kuberay["kind"]) == ("ray.io/v1", "RayCluster")
    assert set(kuberay["spec"]) == SPEC
    for group in groups(kuberay):
        assert set(group) <= GROUP
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, **group["template"]}
        validator.validate(pod, validator.latest_version(), strict=True)
    broken = {**pod, "spec": {**pod["spec"], "container": []}}
    with pytest.raises(Exception, match="container"):
        validator.validate(broken, validator.latest_version(), strict=True)


def test_head_and_workers_are_one_image_of_the_pinned_ray(kuberay: dict[str, Any]) -> None:
    images = {c["image"] for g in groups(kuberay) for c in g["template"]["spec"]["containers"]}
    assert len(images) == 1
    pinned = re.search(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned is not None and kuberay["spec"]["rayVersion"] == pinned[1]
    assert kuberay["spec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    user = {g["template"]["spec"]["securityContext"]["runAsUser"] for g in groups(kuberay)}
    dockerfile = (ROOT / "deploy/docker/cpu.Dockerfile").read_text()
    assert user == {int(re.search(r"--uid (\d+)", dockerfile)[1])}  # type: ignore[index]


def test_the_file_for_ray_up_is_what_ray_takes() -> None:
    util = pytest.importorskip("ray.autoscaler._private.util")
    config = yaml.safe_load((CLUSTER / "ray-up.yaml").read_text())
    util.validate_config(util.prepare_config(config))
    with pytest.raises(Exception, match="max_worker"):
        util.validate_config(util.prepare_config({**config, "max_worker": 1}))


def test_the_command_of_the_page_is_one(kuberay: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "cluster.md").read_text()
    found = re.search(r"kubectl exec .* -- keras-ddl scan (.+)", page)
    assert found is not None
    args = parser().parse_args(found[1].split())
    assert isinstance(args.out, Address) and args.cluster == "auto"
    mounts = groups(kuberay)[1]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert str(args.spool) in {mount["mountPath"] for mount in mounts}
