"""What a host's own network wants to know of frames."""

from . import _quorate
from ._types import FrameKind


def frame_kind(frame: bytes | bytearray | memoryview) -> FrameKind:
    """What a frame is about."""
    return FrameKind(_quorate.frame_kind(frame))
