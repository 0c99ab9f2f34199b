"""YuNet's model file: where it is, or fetched once by its checksum."""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import threading
import urllib.error
import urllib.request
from pathlib import Path

from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.edge.files import atomic_write

log = logging.getLogger(__name__)

FILE_NAME = "face_detection_yunet_2023mar.onnx"
SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
SIZE = 232_589  # bytes
URL = (
    "https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/" + FILE_NAME
)  # OpenCV Zoo, MIT licence
TIMEOUT_S = 3.0
MODEL_VARIABLE = "KERAS_DDL_YUNET"
OFFLINE_VARIABLE = "KERAS_DDL_OFFLINE"
URL_VARIABLE = "KERAS_DDL_YUNET_URL"  # a mirror


def find_yunet(model: Path | str | None = None, url: str | None = None) -> Path:
    """Return the path of YuNet's model file.

    Looked for in this order: `model`, the file `$KERAS_DDL_YUNET` names, the user's cache folder,
    then fetched into that folder, from `$KERAS_DDL_YUNET_URL` or else OpenCV Zoo, unless
    `$KERAS_DDL_OFFLINE` is set to 1.

    Args:
        model: A model file; one that is named must exist.
        url: Address to fetch from; None = as above.

    Raises:
        UserError: A named file is absent, or the model can neither be found nor fetched.
    """
    if (found := look_for_yunet(model)) is not None:
        return found
    if os.environ.get(OFFLINE_VARIABLE, "") not in ("", "0"):
        raise UserError(
            f"YuNet's model is not in the cache and ${OFFLINE_VARIABLE} forbids fetching it",
            MISSING,
        )
    return fetch_yunet(cache_folder() / FILE_NAME, url)


def look_for_yunet(model: Path | str | None = None) -> Path | None:
    """Return the path of YuNet's model file where it is at hand; nothing is fetched.

    Args:
        model: As of `find_yunet`.

    Raises:
        UserError: A named file is absent, or there is no cache folder.
    """
    for source, named in (("model", model), (f"${MODEL_VARIABLE}", os.environ.get(MODEL_VARIABLE))):
        if named:
            path = Path(named).expanduser()
            if not path.is_file():
                raise UserError(
                    f"{source}: expected YuNet's model file, received {path} (no such file)",
                    MISSING,
                )
            return path
    try:
        cached = cache_folder() / FILE_NAME
    except RuntimeError as error:
        raise UserError(
            f"YuNet has no cache folder: {error}; set XDG_CACHE_HOME", MISSING
        ) from None
    if cached.is_file():
        if _sha256(cached.read_bytes()) == SHA256:
            return cached
        log.warning("%s: checksum differs, the file is left out", cached)
    return None


def cache_folder() -> Path:
    """Return the user's cache folder of this project; it may not exist yet."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "keras_ddl"


def fetch_yunet(target: Path, url: str | None = None, timeout_s: float = TIMEOUT_S) -> Path:
    """Fetch the model, verify its SHA-256 and put it at `target`, whole or not at all.

    Args:
        target: Where the file shall lie.
        url: Address; None = as `find_yunet` has it.
        timeout_s: Seconds the whole transfer may take, name look-up included.

    Raises:
        UserError: No answer in time, an error from the server, another checksum, or a folder that
            cannot be written.
    """
    data = _download(url or os.environ.get(URL_VARIABLE) or URL, timeout_s)
    digest = _sha256(data)
    if digest != SHA256:
        raise UserError(
            f"YuNet's model: expected SHA-256 {SHA256[:12]}… ({SIZE} bytes), received "
            f"{digest[:12]}… ({len(data)} bytes); nothing was stored",
            MISSING,
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(target) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise UserError(f"YuNet's model cannot be stored: {error}", MISSING) from error
    log.info("YuNet's model fetched into %s", target)
    return target


def _download(url: str, timeout_s: float) -> bytes:
    """Return the answer's body; a thread bounds the whole of it, name look-up included."""
    outcome: list[bytes | Exception] = []

    def work() -> None:
        try:
            with urllib.request.urlopen(url, timeout=timeout_s) as answer:
                outcome.append(answer.read(4 * SIZE))
        except (OSError, ValueError, http.client.HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it holds the connection
            outcome.append(error)

    thread = threading.Thread(target=work, name="fetch-yunet", daemon=True)
    thread.start()
    thread.join(timeout_s)
    result = outcome[0] if outcome else TimeoutError(f"no answer within {timeout_s:g} s")
    if isinstance(result, bytes):
        return result
    reason = getattr(result, "reason", None) or result
    raise UserError(f"YuNet's model cannot be fetched ({reason})", MISSING) from result


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
