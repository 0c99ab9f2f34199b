"""Decoding packet by packet, so that a bad one costs itself and not the rest of the file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from keras_ddl.edge.video.damage import Damage
from keras_ddl.edge.video.decoder import Decoder
from keras_ddl.edge.video.opening import reason_of

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


def decoded(
    container: InputContainer, stream: VideoStream, damage: Damage, decoder: Decoder
) -> Iterator[VideoFrame]:
    """Yield all pictures of a stream from where its container stands."""
    for packet in packets_of(container, stream, damage):
        yield from pictures_of(packet, stream, damage, decoder)


def packets_of(
    container: InputContainer, stream: VideoStream, damage: Damage
) -> Iterator[Packet[VideoStream] | None]:
    """Yield the packets of a stream; the last one is empty, or None, and flushes its decoder."""
    import av

    packets = iter(container.demux(stream))
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (av.error.FFmpegError, OSError) as error:
            damage.notes.append(f"reading stopped early ({reason_of(error)})")
            yield None  # flush what the decoder still holds
            return
        yield packet
        if packet.size == 0:
            return


def pictures_of(
    packet: Packet[VideoStream] | None, stream: VideoStream, damage: Damage, decoder: Decoder
) -> Iterator[VideoFrame]:
    """Yield the pictures that a decoder gives for the next packet; what is bad is noted."""
    import av

    if packet is not None:
        damage.loss.packet(packet)
    try:
        pictures = stream.codec_context.decode(packet)
    except av.error.EOFError:
        return
    except (av.error.FFmpegError, OSError):
        damage.corrupted(packet)
        return
    for picture in pictures:
        decoder.saw(stream.codec_context)
        if picture.is_corrupt:
            damage.corrupted(picture)
        else:
            yield picture


def expected_ms(container: InputContainer, stream: VideoStream) -> float | None:
    """Return how long the header says the video is, where it says so."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base * 1000)
    if container.duration is not None and len(container.streams) == 1:
        return container.duration / 1000
    return None
