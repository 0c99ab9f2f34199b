"""Several devices and several workers learn what one learns; wrong surroundings are named."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl import train as training
from keras_ddl.edge.errors import UserError
from keras_ddl.training.devices import Devices, open_devices, place
from keras_ddl.training.run import resuming

# Rounding differs between one device and several (batch norm's variance is E[x²] − E[x]² over
# replicas), and Adam makes much of little gradients: a low rate keeps the curves together.
TOLERANCE = 1e-4
SETTINGS = {
    **{"frames": 4, "size": 32, "width": 0.125, "batch": 8, "epochs": 2, "learning_rate": 1e-5},
    **{"modules": "none", "backbone": "resnet18", "sync_batch_norm": "on"},
}
SET = ["--set", *(f"{key}={value}" for key, value in SETTINGS.items())]


def history(run: Path) -> dict[str, list[float]]:
    return json.loads((run / "history.json").read_text())


def alone(prepared: Path, out: Path, *settings: str) -> dict[str, list[float]]:
    options = ["--prepared", str(prepared), "--out", str(out), *SET, *settings]
    assert training.main([*options]) == 0
    return history(out)


def assert_same_curve(ours: dict[str, list[float]], theirs: dict[str, list[float]]) -> None:
    np.testing.assert_allclose(ours["loss"], theirs["loss"], rtol=TOLERANCE)
    # Moving variances: one device's are those of a sample, several devices' of a population, which
    # the deepest layers, with one value per frame here, see: 32 / 31.
    np.testing.assert_allclose(ours["val_loss"], theirs["val_loss"], rtol=2e-2)


@pytest.mark.slow
def test_two_workers_one_killed_and_started_again_learn_what_one_learns(
    flicker_set: Path, tmp_path: Path
) -> None:
    """Worker 1 is killed in epoch 2; worker 0 notices, begins again by itself and waits for it."""
    out = tmp_path / "shared" / "run"
    ports = free_ports(2)

    def start(index: int) -> subprocess.Popen[str]:
        cluster = {"worker": [f"localhost:{port}" for port in ports]}
        task = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        command = [sys.executable, "-m", "keras_ddl.train", "--prepared", str(flicker_set)]
        options = ["--resume", str(out), "--checkpoint-every", "2", *SET]
        environment = {**os.environ, "TF_CONFIG": json.dumps(task)}
        with (tmp_path / f"{index}.log").open("a", encoding="utf-8") as log:
            words = [*command, *options]
            return subprocess.Popen(words, env=environment, stdout=log, stderr=log, text=True)

    workers = [start(0), start(1)]
    try:
        wait_for(out / "checkpoints" / "epoch-0001-step-000002", workers)
        workers[1].kill()
        assert workers[1].wait() == -signal.SIGKILL
        workers[1] = start(1)
        assert [worker.wait(timeout=1800) for worker in workers] == [0, 0]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    logs = [(tmp_path / f"{index}.log").read_text(encoding="utf-8") for index in (0, 1)]
    assert "a worker was lost; waiting for it" in logs[0]
    weights = [re.findall(r"weights (\w{64})", log) for log in logs]
    assert len(weights[0]) == 1 and weights[0] == weights[1]  # to the bit
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["devices"] == {"strategy": "multiworker", "workers": 2, "replicas": 2}
    assert manifest["batch"] == {"global": 8, "per_replica": 4}
    assert_same_curve(history(out), alone(flicker_set, tmp_path / "alone"))


def wait_for(path: Path, workers: list[subprocess.Popen[str]]) -> None:
    while not path.exists():
        assert all(worker.poll() is None for worker in workers), "a worker ended by itself"
        time.sleep(0.05)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("localhost", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


SLURM = """
from keras_ddl.training.devices import open_devices
devices = open_devices("auto")
print(devices.name, devices.worker, devices.workers, devices.replicas)
"""


def test_tasks_of_slurm_find_each_other() -> None:
    step = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_TASKS_PER_NODE": "2", "SLURM_JOB_ID": "4711"}
    tasks = [
        subprocess.Popen(
            [sys.executable, "-c", SLURM],
            env={
                **{key: value for key, value in os.environ.items() if key != "TF_CONFIG"},
                **{**step, "SLURM_STEP_NODELIST": "localhost", "SLURM_PROCID": str(number)},
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for number in (0, 1)
    ]
    said = [task.communicate()[0].split() for task in tasks]
    assert said == [["multiworker", "0", "2", "2"], ["multiworker", "1", "2", "2"]]


FOUR = """
import sys
from keras_ddl.framework import tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 4)
from keras_ddl import train
sys.exit(train.main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("modules", ["none", "dfdc,msa"])
def test_four_devices_learn_what_one_learns(
    modules: str, flicker_set: Path, tmp_path: Path
) -> None:
    settings = [f"modules={modules}", "backbone=compact_xception", "sync_batch_norm=auto"]
    options = ["--prepared", str(flicker_set), "--out", str(tmp_path / "four")]
    command = [sys.executable, "-c", FOUR, *options, "--strategy", "mirrored", *SET, *settings]
    subprocess.run(command, check=True, capture_output=True)
    manifest = json.loads((tmp_path / "four" / "manifest.json").read_text())
    assert manifest["devices"] == {"strategy": "mirrored", "workers": 1, "replicas": 4}
    assert manifest["synchronised_batch_norm"] is True
    one = alone(flicker_set, tmp_path / "one", *settings)
    assert_same_curve(history(tmp_path / "four"), one)


class FourReplicas:
    """Of a strategy, only what `Devices` asks for its arithmetic."""

    num_replicas_in_sync = 4


def test_a_batch_is_shared_evenly_or_refused() -> None:
    devices = Devices(FourReplicas())
    devices.check_batch(12)
    with pytest.raises(UserError, match=r"a multiple of 4, received 10; --set batch=8 or 12"):
        devices.check_batch(10)
    with pytest.raises(UserError, match=r"received 3; --set batch=4$"):
        devices.check_batch(3)


def test_batch_norm_is_synchronised_where_a_replica_has_few_clips() -> None:
    devices = Devices(FourReplicas())
    assert devices.synchronises("auto", 60) and not devices.synchronises("auto", 64)
    assert devices.synchronises("on", 64) and not devices.synchronises("off", 4)
    assert not Devices().synchronises("on", 4)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "TF_CONFIG: expected"),
        ('{"task": {}}', "TF_CONFIG: expected"),
        ("", "expected TF_CONFIG .or srun's variables. to name the workers"),
    ],
)
def test_workers_that_nobody_names(
    config: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(UserError, match=message):
        open_devices("multiworker")


def test_unknown_and_missing_strategies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TPU_NAME", raising=False)
    with pytest.raises(UserError, match="expected one of auto, none, mirrored, multiworker, tpu"):
        open_devices("horovod")
    with pytest.raises(UserError, match="no TPU was found"):
        open_devices("tpu")
    assert open_devices("auto").name == "none"  # one CPU


def test_a_lost_workers_peers_go_on_with_the_same_command() -> None:
    command = ["python", "-m", "keras_ddl.train", "--out", "a", "--set", "batch=8", "--previous"]
    kept = ["python", "-m", "keras_ddl.train", "--set", "batch=8", "--resume", "a"]
    assert resuming(command, Path("a")) == kept
    assert resuming([*kept[:-2], "--resume=b"], Path("a")) == kept


@pytest.mark.parametrize(
    ("cluster", "task", "expected"),
    [
        ({"worker": ["a:1", "b:1"]}, ("worker", 1), (1, 2)),
        ({"chief": ["a:1"], "worker": ["b:1", "c:1"]}, ("chief", 0), (0, 3)),
        ({"chief": ["a:1"], "worker": ["b:1", "c:1"]}, ("worker", 0), (1, 3)),
        ({"chief": ["a:1"]}, ("chief", 0), (0, 1)),
    ],
)
def test_a_chief_is_the_first_of_the_workers(
    cluster: dict[str, list[str]],
    task: tuple[str, int],
    expected: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As Kubernetes' training operator and Vertex write it."""
    kind, index = task
    config = {"cluster": cluster, "task": {"type": kind, "index": index}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    assert place(tf.distribute.cluster_resolver.TFConfigClusterResolver()) == expected


def test_who_does_not_train_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"cluster": {"worker": ["a:1"]}, "task": {"type": "evaluator", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    with pytest.raises(UserError, match="chief or worker in the cluster, received 'evaluator'"):
        place(tf.distribute.cluster_resolver.TFConfigClusterResolver())
