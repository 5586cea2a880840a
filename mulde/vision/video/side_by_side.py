"""A video of a stream: the frame on the left, the student's classes on the right. Written by PyAV."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mulde.files import replacing
from mulde.vision.video.reading import ClassMap, Image, Video, pyav

COLOURS = np.array(
    [(0, 0, 0), (230, 60, 50), (60, 120, 230), (250, 200, 40), (60, 180, 90), (170, 80, 200), (80, 200, 210)], np.uint8
)
"""Colours of the classes in turn; the background keeps the colours of the frame."""
BAR = 4
"""Rows at the top that are red in queried frames."""


def beside(image: Image, classes: ClassMap, queried: bool) -> Image:
    """Frame (h, w, 3) and the same with its classes (h, w) in colour: (h, 2 w, 3), both sides even."""
    colours = COLOURS[np.where(classes > 0, 1 + (classes - 1) % (len(COLOURS) - 1), 0)]
    inside = (classes > 0)[..., None]
    right = np.where(inside, image // 2 + colours // 2, image)
    right[:BAR] = COLOURS[1] if queried else right[:BAR]
    both = np.concatenate([image, right], 1)
    return np.ascontiguousarray(both[: both.shape[0] // 2 * 2, : both.shape[1] // 2 * 2])


def write_side_by_side(
    target: Path, video: Video, classes: Callable[[int], ClassMap], queried: Collection[int]
) -> None:
    """Write an MP4 or Matroska file atomically, H.264 or, where there is no encoder for it, MPEG-4.

    Parameters
    ----------
    classes
        Number of a frame -> its class map.
    queried
        Numbers of the frames with a query to the teacher.
    """
    av = pyav()
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    kind = "matroska" if target.suffix == ".mkv" else "mp4"  # the temporary name has another ending
    with replacing(target) as temporary, av.open(str(temporary), "w", format=kind) as container:
        stream = container.add_stream(codec, rate=video.rate)
        stream.pix_fmt = "yuv420p"
        for number, image in enumerate(video.frames()):
            frame: NDArray[np.uint8] = beside(image, classes(number), number in queried)
            if not number:
                stream.height, stream.width = frame.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
