"""Kit of a process that judges files: options, model, backend and detector, opened once."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from deploy.backends import Backend
from deploy.bundle import Bundle
from keras_ddl.edge.bundle import MODEL_FILE
from keras_ddl.edge.errors import CHECK_FAILED, UserError
from keras_ddl.edge.faces import FaceDetector
from keras_ddl.edge.faces.search import WHOLE, SearchRule
from keras_ddl.edge.files import file_sha256
from keras_ddl.edge.video.container import MOST_PIXELS
from keras_ddl.edge.video.decoder import CPU
from keras_ddl.edge.workers.pool import JOB_S


@dataclass(frozen=True)
class Options:
    """Options of judging; `rules` are those that decide a verdict.

    Attributes:
        bundle: The model's folder, or an engine.
        device: Where ONNX Runtime computes.
        footage: What the files show: "real" or "synthetic" faces.
        detector: Its name.
        detect_every: Look for faces every so many frames.
        stride_ms: Time between two clips of a face.
        out: Where results go.
        search: Which faces are looked for, and where.
        most_pixels: A larger picture is not judged.
        decoder: What decodes the files: "cpu" or a device.
        evidence: Where evidence goes; "" for none.
        evidence_key: File of the key that signs it; "" for none.
        threads: Compute threads of a process.
        clips: In how many places a video is looked at; 0 = every frame is.
        timeout_s: A file that takes longer is given up.
        key: Digest of all that decides a verdict beside the file.
        model_sha256: Of the model that the command has: whoever reads another one refuses.
        spool: Folder for files that are fetched; "" is the system's for temporary ones.
    """

    bundle: str
    device: str
    footage: str
    detector: str
    detect_every: int
    stride_ms: float
    out: str
    search: SearchRule = WHOLE
    most_pixels: int = MOST_PIXELS
    decoder: str = CPU
    clips: int = 0
    evidence: str = ""
    evidence_key: str = ""
    threads: int = 1
    timeout_s: float = JOB_S
    key: str = ""
    model_sha256: str = ""
    spool: str = ""

    def rules(self) -> dict[str, Any]:
        """What decides a verdict, beside model and program."""
        where = ("bundle", "out", "evidence", "evidence_key", "spool")
        apart = {*where, "threads", "timeout_s", "key", "model_sha256"}
        if self.decoder == CPU:
            apart.add("decoder")  # as before there were others: files judged then stay judged
        if not self.clips:
            apart.add("clips")
        if self.search == WHOLE:
            apart.add("search")  # the same
        kept = {name: value for name, value in asdict(self).items() if name not in apart}
        return {**kept, "evidence": bool(self.evidence)}


@dataclass(frozen=True)
class Kit:
    """Model, backend and detector of a process, opened once for all its files."""

    options: Options
    bundle: Bundle
    backend: Backend
    detector: FaceDetector


def open_kit(options: Options) -> Kit:
    """Open what a process needs; it stays open until the process ends.

    Raises:
        UserError: the model is another than the one the command has.
    """
    import cv2

    from deploy.bundle import open_bundle
    from deploy.machine.quiet import silence_libraries
    from keras_ddl.edge.faces import open_detector

    silence_libraries()
    cv2.setNumThreads(options.threads)
    bundle, backend = open_bundle(options.bundle, options.threads, options.device)
    if (
        options.model_sha256
        and (found := file_sha256(bundle.path / MODEL_FILE)) != options.model_sha256
    ):
        raise UserError(
            f"{options.bundle}: expected the command's model {options.model_sha256[:12]}, received "
            f"{found[:12]}; copy the same bundle there",
            CHECK_FAILED,
        )
    return Kit(options, bundle, backend, open_detector(options.detector))
