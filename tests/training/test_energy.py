"""Energy: differences of a counter, added up over runs; nothing where nothing is reported."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl.framework import keras
from keras_ddl.training import energy
from keras_ddl.training.callbacks.progress import Progress
from keras_ddl.training.checkpoint import Checkpoints, WriteCheckpoints
from keras_ddl.training.devices import Devices
from keras_ddl.training.energy import EnergyMeter, energy_meter, gpu_joules

# A driver's library with four cards: at 1.5, 20 and 0.25 kJ, the third known by UUID too; the
# fourth has no counter.
DRIVER = """
#include <stdint.h>
#include <string.h>
static const unsigned long long used[] = {1500000, 20000000, 250000};
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
static int handle(unsigned int index, void **device) {
    *device = (void *)(intptr_t)(0x700000000 + index);  /* as wide as a pointer */
    return index > 3 ? 2 : 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device) {
    return handle(index, device);
}
int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
    return strcmp(uuid, "GPU-2b") ? 2 : handle(2, device);
}
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *energy) {
    intptr_t index = (intptr_t)device - 0x700000000;
    if (index < 0 || index > 2) return 3;  /* not supported */
    *energy = used[index];
    return 0;
}
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> str:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler to stand in for the driver's library")
    folder = tmp_path_factory.mktemp("driver")
    (folder / "nvml.c").write_text(DRIVER)
    library = folder / "libnvml.so"
    command = [compiler, "-shared", "-fPIC", "-o", str(library), str(folder / "nvml.c")]
    subprocess.run(command, check=True)
    return str(library)


@pytest.mark.parametrize(
    ("visible", "count", "joules"),
    [
        (None, 1, 1500.0),
        (None, 2, 21500.0),
        ("1", 1, 20000.0),
        ("2,0", 1, 250.0),
        ("GPU-2b, 1", 2, 20250.0),
        ("3", 1, None),  # has no counter
        ("0,3", 2, None),  # a part of the sum would say nothing
        ("MIG-1c", 1, None),
        (None, 0, None),
    ],
)
def test_the_counters_of_the_gpus_in_use_are_added(
    visible: str | None,
    count: int,
    joules: float | None,
    driver: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(energy, "LIBRARY", driver)
    assert gpu_joules(count) == joules


def test_without_a_driver_nothing_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(energy, "LIBRARY", str(tmp_path / "libnvidia-ml.so.1"))
    assert gpu_joules(1) is None


def reader(*values: float | None) -> Iterator[float | None]:
    yield from values


def test_a_meter_counts_from_its_start_and_goes_on_where_another_ended() -> None:
    counter = reader(1000.0, 1250.0, 1600.0)
    first = EnergyMeter(lambda: next(counter), before=0.0)
    assert first.joules() == 250.0
    assert first.joules() == 600.0
    counter = reader(5.0, 15.0)  # the machine was started again meanwhile
    assert EnergyMeter(lambda: next(counter), before=600.0).joules() == 610.0


@pytest.mark.parametrize(
    ("values", "before"),
    [((None, None), 0.0), ((1.0, None), 0.0), ((None, 1.0), 0.0), ((1.0, 2.0), None)],
)
def test_a_part_that_was_not_reported_leaves_no_sum(
    values: tuple[float | None, ...], before: float | None
) -> None:
    counter = reader(*values)
    assert EnergyMeter(lambda: next(counter), before).joules() is None


def test_a_checkpoint_keeps_the_sum(tmp_path: Path) -> None:
    model = keras.Sequential([keras.layers.Dense(1, input_shape=(1,))])
    model.compile("sgd", "mse")
    counter = reader(5.0, 15.0)
    meter = EnergyMeter(lambda: next(counter), before=600.0)
    writer = WriteCheckpoints(Checkpoints(tmp_path), Progress(epoch=3), 6, 0, meter)
    writer.set_model(model)
    writer.on_epoch_end(2)
    found = Checkpoints(tmp_path).choose()
    assert found is not None and found[1].joules == 610.0


class TwoReplicas:
    """Of a strategy, only what `Devices` asks for its arithmetic."""

    num_replicas_in_sync = 2


@pytest.mark.parametrize(
    ("devices", "gpus", "counted"),
    [
        (Devices(), 4, 1),  # one device trains
        (Devices(TwoReplicas()), 4, 2),
        (Devices(TwoReplicas()), 0, 0),  # logical CPUs
        (Devices(TwoReplicas(), workers=2), 1, 0),  # nobody sees the other's GPU
    ],
)
def test_the_gpus_that_train_are_counted(
    devices: Devices, gpus: int, counted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind] * gpus)
    asked: list[int] = []
    monkeypatch.setattr(energy, "gpu_joules", asked.append)
    assert energy_meter(devices, 0.0).joules() is None
    assert asked == [counted, counted]
