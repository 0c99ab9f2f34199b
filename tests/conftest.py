"""Fixtures the whole test tree shares."""

from __future__ import annotations

import fcntl
import itertools
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_ddl.edge.storage.address import Address

# A shell that runs tests in the background ignores Ctrl-C, and every child would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test waits for a network: YuNet's file is there, or is not fetched.
os.environ.setdefault("KERAS_DDL_OFFLINE", "1")

ROOT = Path(__file__).resolve().parent.parent
NOBODY = 65534
BUCKETS = itertools.count()

# Files that take longest, longest first: two processes take whole files in turn, and one begun
# last would leave the other idle.
LONGEST_FIRST = (
    "tests/quantization/test_quantize.py",
    "tests/training/test_fit.py",
    "tests/export/conversion/test_keras_divergence.py",
    "tests/test_train.py",
    "tests/quantization/test_quantise.py",
    "tests/networks/test_model.py",
    "tests/export/conversion/test_onnx_from_keras.py",
    "tests/test_evaluate.py",
    "tests/data/test_prepare_killed.py",
    "tests/training/test_resume.py",
    "tests/test_robustness.py",
    "tests/export/test_to_onnx.py",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-passed", type=Path, help="write the names of tests that passed")
    parser.addoption("--leave-out", type=Path, help="leave out the tests that such a file names")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what has passed elsewhere; put the longest files first, all else stays in order."""
    names = {str(ROOT / name): place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: names.get(str(item.path), len(names)))
    if config.option.leave_out is not None:
        passed = set(config.option.leave_out.read_text(encoding="utf-8").splitlines())
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in passed])
        items[:] = [item for item in items if item.nodeid not in passed]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Write what has passed: calls, since a test that skips has a setup that passes."""
    if config.option.write_passed is not None:
        reports = terminalreporter.stats.get("passed", [])
        lines = sorted(report.nodeid for report in reports if report.when == "call")
        config.option.write_passed.write_text("\n".join(lines), encoding="utf-8")


@pytest.fixture(autouse=True)
def _kernels_as_they_were() -> Iterator[None]:
    """A test that trains with deterministic kernels leaves none of them to the next."""
    yield
    if "tensorflow" in sys.modules:
        from tensorflow.python.framework import config

        config.disable_op_determinism()


def _beside(name: str) -> Path:
    folder = ROOT.parent / "shared" / name
    if not folder.is_dir():
        pytest.skip(f"needs ../shared/{name} beside the project")
    return folder


@pytest.fixture(scope="session")
def shared_real() -> Path:
    """The folder of real videos beside the project; skips, naming it, where it is absent."""
    return _beside("real")


@pytest.fixture(scope="session")
def shared_reference() -> Path:
    """The folder of reference vectors beside the project; skips, naming it, where absent."""
    return _beside("reference")


@pytest.fixture(scope="session")
def shared_mesonet() -> Path:
    """The folder of MesoNet's published weights beside the project; skips, naming it, if absent."""
    return _beside("mesonet")


class Processes:
    """Asks /proc who is alive."""

    def children(self, pid: int) -> list[int]:
        """The processes that a process has started."""
        tasks = Path(f"/proc/{pid}/task").glob("*/children")
        return [int(child) for task in tasks for child in task.read_text().split()]

    def alive(self, pid: int) -> bool:
        """Whether a process runs."""
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except FileNotFoundError:
            return False

    def end(self, pids: Iterable[int]) -> bool:
        """Wait for processes that should be ending; false, and they are killed, if they do not."""
        for _ in range(600):
            if not any(map(self.alive, pids)):
                return True
            time.sleep(0.1)
        for pid in filter(self.alive, pids):
            os.kill(pid, signal.SIGKILL)
        return False


DYING = """
import os, signal, sys, time
from importlib import import_module
command, owner, name, item, hang, *arguments = sys.argv[1:]
inner = getattr(import_module(owner), name)
def dying(*args, **kwargs):
    if item in str(args):
        time.sleep(float(hang))
        os.kill(os.getpid(), signal.SIGKILL)
    return inner(*args, **kwargs)
setattr(import_module(owner), name, dying)
if __name__ == "__main__":
    sys.exit(import_module(command).main(arguments))
"""


@pytest.fixture
def run_with_a_death(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command whose worker is killed over one item.

    Call: `run_with_a_death(command, function, item, *arguments, hang=0)`; `module:function` dies,
    after so many seconds, when `item` is part of its arguments. Worker processes import the
    script, so they die too.
    """

    def run(command: str, function: str, item: str, *arguments: object, hang: float = 0) -> Any:
        script = tmp_path / "dying.py"
        script.write_text(DYING)
        line = [sys.executable, script, command, *function.split(":"), item, hang, *arguments]
        return subprocess.run([str(part) for part in line], capture_output=True, text=True)

    return run


# What the workers of the cluster run before all else: to open this file kills them.
POISON = "poison.mp4"
POISONED = f"""
import os, pathlib, signal
inner = pathlib.Path.open
def opening(path, *args, **kwargs):
    if path.name == {POISON!r}:
        os.kill(os.getpid(), signal.SIGKILL)
    return inner(path, *args, **kwargs)
pathlib.Path.open = opening
"""


@pytest.fixture(scope="session")
def ray_cluster(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Any]:
    """A Ray cluster on loopback: a head without room for workers, two nodes with room for one.

    Its workers are killed over a file that is called `POISON`, and find the S3 server.
    """
    ray = pytest.importorskip("ray")
    if find_spec("moto"):
        request.getfixturevalue("s3_server")
    from ray.cluster_utils import Cluster

    folder = tmp_path_factory.mktemp("poisoned")
    (folder / "sitecustomize.py").write_text(POISONED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ray._private.ray_constants.ENABLE_RAY_CLUSTER", False)  # all on 127.0.0.1
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        with pytest.MonkeyPatch.context() as of_nodes:
            of_nodes.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
            cluster = Cluster(True, head_node_args={"num_cpus": 0, "include_dashboard": False})
            for _ in range(2):
                cluster.add_node(num_cpus=1)
        yield cluster
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of an S3 server on loopback, whose credentials any process finds."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # or a line for each request
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_server: str) -> Address:
    """An empty bucket of that server."""
    import boto3

    name = f"bucket-{next(BUCKETS)}"
    boto3.client("s3").create_bucket(Bucket=name)
    return Address(f"s3://{name}")


@pytest.fixture(scope="session")
def processes() -> Processes:
    """Whose child is whose, and who has ended; skips where there is no /proc."""
    if not Path("/proc/self/task").is_dir():
        pytest.skip("needs /proc")
    return Processes()


@pytest.fixture(scope="session")
def haar() -> str:
    """The name of the detector that works without a download; skips where OpenCV has none."""
    cv2 = pytest.importorskip("cv2")
    if not hasattr(cv2, "CascadeClassifier"):
        pytest.skip(f"needs OpenCV 4: {cv2.__version__} has no Haar cascades")
    return "haar"


@pytest.fixture
def nobodys_folder() -> Iterator[Path]:
    """An empty folder of a user who may not do everything, as whom the test then runs."""
    folder = Path(tempfile.mkdtemp(prefix="keras-ddl-test-"))
    root = os.geteuid() == 0
    if root:
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        for path in (folder, *folder.rglob("*")):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
        shutil.rmtree(folder)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Makes a disk (tmpfs) of so many KiB; skips where this user may not mount one.

    Call: `small_disk(kib)` returns its folder; again with another size makes it larger.
    """
    folder = tmp_path / "disk"

    def mount(kib: int) -> Path:
        again = folder.is_dir()
        folder.mkdir(exist_ok=True)
        options = f"size={kib}k" + (",remount" if again else "")
        line = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(line, capture_output=True).returncode:
            pytest.skip("a disk of its own cannot be mounted here")
        return folder

    yield mount
    if folder.is_dir():
        subprocess.run(["umount", "--lazy", str(folder)], capture_output=True)


@pytest.fixture(scope="session")
def write_mp4() -> Callable[..., Path]:
    """Writes RGB frames as a small H.264 file with PyAV itself, not with the project's writer.

    Call: `write_mp4(path, frames, fps=25, times_ms=None, rotation=0, crf=10, gop=12)`; `times_ms`
    makes the rate variable, `rotation` (degrees, counter-clockwise) is side data.
    """
    av = pytest.importorskip("av")

    def write(
        path: Path,
        frames: Iterable[np.ndarray],
        fps: float = 25,
        times_ms: Iterable[float] | None = None,
        rotation: int = 0,
        crf: int = 10,
        gop: int = 12,
    ) -> Path:
        options = {"crf": str(crf), "preset": "ultrafast", "g": str(gop)}
        flags = {"movflags": "faststart"} if path.suffix in (".mp4", ".mov") else {}
        rate = Fraction(fps).limit_denominator(1001)
        times = None if times_ms is None else list(times_ms)
        with av.open(str(path), "w", options=flags) as container:
            stream = container.add_stream("libx264", rate=rate, options=options)
            stream.pix_fmt = "yuv420p"
            stream.codec_context.time_base = Fraction(1, 90_000)
            if rotation and not hasattr(stream, "set_display_rotation"):
                pytest.skip(f"PyAV {av.__version__} cannot write rotation side data")
            if rotation:
                stream.set_display_rotation(rotation)
            for index, image in enumerate(frames):
                if index == 0:
                    stream.height, stream.width = image.shape[:2]
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                seconds = index / rate if times is None else Fraction(times[index]) / 1000
                picture.pts, picture.time_base = round(seconds * 90_000), Fraction(1, 90_000)
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
        return path

    return write


@pytest.fixture(scope="session")
def draw_face() -> Callable[..., np.ndarray]:
    """Draws a plain face that real detectors find.

    Call: `draw_face(image, x, y, side)` draws into uint8 (H, W, 3) RGB, centre and size of the
    face in pixels, and returns the image.
    """
    cv2 = pytest.importorskip("cv2")

    def draw(image: np.ndarray, x: float, y: float, side: float) -> np.ndarray:
        skin, dark = (205, 165, 140), (60, 40, 30)
        # (x, y, half width, half height, colour) in sides from the centre
        parts = [(0, -0.12, 0.52, 0.66, dark), (0, 0.05, 0.45, 0.6, skin)]  # hair, face
        for k in (-0.2, 0.2):
            parts += [
                (k, -0.17, 0.13, 0.03, dark),  # brow
                (k, -0.05, 0.12, 0.075, (150, 110, 95)),  # socket
                (k, -0.05, 0.09, 0.045, (235, 235, 235)),  # eye
                (k, -0.05, 0.045, 0.045, dark),  # iris
            ]
        parts += [
            (0, 0.1, 0.05, 0.13, (225, 185, 160)),  # nose
            (0, 0.22, 0.1, 0.03, (150, 105, 90)),
            (0, 0.4, 0.18, 0.05, (150, 70, 70)),  # mouth
        ]
        for dx, dy, a, b, colour in parts:
            middle = tuple(round(16 * v) for v in (x + dx * side, y + dy * side))
            axes = tuple(max(1, round(16 * v * side)) for v in (a, b))
            cv2.ellipse(image, middle, axes, 0, 0, 360, colour, -1, cv2.LINE_AA, 4)
        return image

    return draw


@pytest.fixture(scope="session")
def near() -> Callable[..., None]:
    """Asserts equality within `tolerance`, relative to the largest entry where that exceeds 1."""

    def check(got: object, want: object, tolerance: float = 1e-5, name: str = "") -> None:
        expected = np.asarray(want, np.float64)
        assert np.isfinite(expected).all(), f"nothing can be near what is not finite: {name}"
        allowed = tolerance * max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(
            np.asarray(got, np.float64), expected, rtol=0, atol=allowed, err_msg=name
        )

    return check


@pytest.fixture(scope="session")
def randomise() -> Callable[..., None]:
    """Gives every weight of a layer or model a value drawn from its name, none left at its start.

    Also γ, which starts at 0 and hides a module, and the statistics of batch norm, which start
    where they hide a mistake.
    """

    def draw(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
        z = np.random.RandomState(zlib.crc32(f"{seed} {name}".encode())).standard_normal(shape)
        if "variance" in name:
            return 0.5 + np.abs(z)
        if "mean" in name or "beta" in name or "bias" in name:
            return 0.1 * z
        if "gamma" in name:
            return (0.5 if shape == (1,) else 1) + 0.1 * z
        fan_in = np.prod(shape[:2] if "depthwise" in name else shape[:-1])
        return z / np.sqrt(fan_in)

    def fill(target: object, seed: int = 0) -> None:
        for variable in target.weights:
            if not np.issubdtype(variable.numpy().dtype, np.floating):
                continue  # a counter
            name = getattr(variable, "path", variable.name)  # Keras 3 names the layer in the path
            variable.assign(draw(name, tuple(variable.shape), seed))

    return fill


@pytest.fixture(scope="session")
def flicker_set(made_once: Callable[..., Path]) -> Path:
    """A folder of prepared clips (4 frames, 32 px) that a person can check by eye.

    Every clip is one random flat-coloured pattern with weak noise. A real one stays as it is; a
    fake one is brighter and darker by 50 in turn, so that the mean over time says nothing.
    Videos have two clips each: 12 real and 12 fake in train, 4 and 4 in val, 5 and 5 in test; one
    more test video has no face.
    """
    pytest.importorskip("tensorflow")
    from keras_ddl.data.prepared import Cut, EncodedClip, encode_clip
    from keras_ddl.data.shard_writer import write_prepared
    from keras_ddl.data.video_index import Video
    from keras_ddl.edge.clips import Clip
    from keras_ddl.edge.clipspec import ClipSpec

    rng = np.random.default_rng(5)

    def clip(label: int) -> EncodedClip:
        image = np.kron(rng.integers(60, 190, (4, 4, 3)), np.ones((8, 8, 1)))
        flicker = 50 * label * np.array([1, -1, 1, -1])
        noise = rng.integers(-2, 3, (4, 32, 32, 3))
        frames = (image + noise + flicker[:, None, None, None]).astype(np.uint8)
        return encode_clip(Clip(frames, 40.0 * np.arange(4), 1))

    def video(split: str, label: int, name: str) -> Video:
        method = ("real", "fake")[label]
        return Video(Path(name), label, "flicker", method, "", name, (name,), split)

    cuts = [
        (video(split, label, f"{split}{i}"), Cut("ok", clips=(clip(label), clip(label))))
        for split, count in (("train", 12), ("val", 4), ("test", 5))
        for label in (0, 1)
        for i in range(count)
    ]
    cuts.append((video("test", 0, "wall"), Cut("no face", "no face was found in any frame")))
    spec = ClipSpec(frames=4, size=32, detector="haar")
    return made_once("flicker", lambda out: write_prepared(out, spec, cuts, "f" * 64))


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a file or folder once for all worker processes; the others wait for it.

    Call: `made_once(name, make)`; `make(path)` makes it. To be read only.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "made-once"
    folder.mkdir(exist_ok=True)

    def once(name: str, make: Callable[[Path], object]) -> Path:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        done, lock_file = (path.with_name(f"{path.name}.{end}") for end in ("done", "lock"))
        with lock_file.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                make(path)
                done.touch()
        return path

    return once


TRAINED_RUN = (
    "frames=4",
    "size=32",
    "width=0.125",
    "batch=8",
    "epochs=4",
    "halve_every=2",
    "backbone=resnet18",
)


def _trained(prepared: Path, out: Path, *options: str) -> Path:
    from keras_ddl import train

    assert train.main(["--prepared", str(prepared), "--out", str(out), *options]) == 0
    return out


@pytest.fixture(scope="session")
def wide_set(made_once: Callable[..., Path], draw_face: Any, write_mp4: Any, haar: str) -> Path:
    """A folder of prepared clips (4 frames, 32 px) with the surroundings of the faces.

    Two real videos and a fake to learn from, a real to validate with, one to test; of one drawn
    face each.
    """
    pytest.importorskip("tensorflow")
    from keras_ddl.data.prepare import prepare
    from keras_ddl.edge.clipspec import ClipSpec

    names = ("train/real/a", "train/real/b", "train/fake/a_x", "val/real/c", "test/real/d")

    def made(out: Path) -> None:
        root = out.parent / "wide-videos"
        for number, name in enumerate(names):
            path = root / f"{name}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            wall = np.full((120, 160, 3), 90 + 20 * number, np.uint8)
            write_mp4(path, (draw_face(wall, 72 + 0.5 * i, 60, 60) for i in range(14)))
        spec = ClipSpec(frames=4, size=32)
        prepare(root, out, spec, haar, 1, 2, surroundings=True, progress=False)

    return made_once("wide-clips", made)


@pytest.fixture(scope="session")
def trained_run(flicker_set: Path, made_once: Callable[..., Path]) -> Path:
    """A complete run with both modules, and a profile of its first steps. To be read only."""
    options = ("--profile", "--set", *TRAINED_RUN)
    return made_once("trained/run", lambda out: _trained(flicker_set, out, *options))


@pytest.fixture(scope="session")
def plain_options() -> list[str]:
    """How `plain_run` is trained: six steps an epoch, and an optimiser with much to remember."""
    return [
        "--set",
        "frames=4",
        "size=32",
        "width=0.125",
        "batch=8",
        "epochs=3",
        "backbone=resnet18",
        "modules=none",
        "ema=0.9",
        "warmup_steps=4",
        "learning_rate=3e-4",
        # Trained in this process, in which another test may have asked for it already.
        "deterministic=true",
    ]


@pytest.fixture(scope="session")
def plain_run(flicker_set: Path, plain_options: list[str], made_once: Callable[..., Path]) -> Path:
    """A complete run of a backbone without modules. To be read only."""
    return made_once("plain/run", lambda out: _trained(flicker_set, out, *plain_options))
