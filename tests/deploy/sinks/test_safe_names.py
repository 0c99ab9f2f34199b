"""Names of sources in topics and file names."""

from __future__ import annotations

from deploy.sinks.safe_names import SafeNames


def test_names_are_safe_and_stay_apart() -> None:
    names = SafeNames()
    assert names.of("rtsp://***@door:554/1") == "rtsp-door-554-1"
    assert names.of("rtsp://***@door:554?1") == "rtsp-door-554-1-2"
    assert names.of("rtsp://***@door:554/1") == "rtsp-door-554-1"
    assert names.of("../../etc/passwd") == "etc-passwd"
    assert names.of("#/+") == "source"
    assert names.of("camera 0") == "camera-0"
    assert len(names.of("x" * 500)) == 64
