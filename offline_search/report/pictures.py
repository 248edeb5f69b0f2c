# SPDX-License-Identifier: Apache-2.0
"""Recorded images with published and true poses drawn in: single pictures and a video."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fpg_pose_ros.errors import FpgPoseError
from fpg_pose_ros.estimator import PoseEstimate
from fpg_pose_ros.geometry import Array, Camera, transform
from fpg_pose_ros.objects import ObjectModel
from fpg_pose_ros.overlay import draw, silhouette
from fpg_pose_ros.sources import open_source
from offline_search.report.judgement import Judged

Image = NDArray[np.uint8]

# H.264 where this build of OpenCV can (the wheels cannot); MPEG-4 plays in all but browsers. VP9
# would, too, but takes a quarter of a second a frame.
_CODECS: Final = ("avc1", "mp4v")
#: The report's moving picture: seconds, every how many frames, width in px.
_CLIP_S: Final = 8.0
_CLIP_STEP: Final = 3
_CLIP_WIDTH: Final = 480
_WHITE: Final = (255, 255, 255)
_DARK: Final = (18, 18, 18)
_GOOD: Final = (99, 192, 142)
_BAD: Final = (229, 110, 90)
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
_STRIP: Final = 24


class PictureError(FpgPoseError):
    """A picture or video that cannot be written."""


@dataclass(frozen=True, eq=False)
class Gallery:
    """Annotated images.

    Attributes:
        stills: by the stamp of their frame.
        clip: some seconds in a row, small.
        clip_period_s: between two images of the clip.
    """

    stills: Mapping[int, Image]
    clip: Sequence[Image]
    clip_period_s: float


def annotate(image: Image, camera: Camera, model: ObjectModel, frame: Judged) -> Image:
    """The image (H, W, 3), published pose, true outline in white, and errors in a strip below."""
    published = [] if frame.pose is None else [_estimate(frame, camera, model)]
    canvas = draw(image, camera, published, [model])
    truth = as_estimate(frame.truth, camera, model)
    contours, _ = cv2.findContours(
        silhouette(model.mesh, camera, truth), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    cv2.drawContours(canvas, contours, -1, _WHITE, 1, cv2.LINE_AA)
    return _with_strip(canvas, frame)


def select(frames: Sequence[Judged]) -> list[tuple[str, Judged]]:
    """Frames worth showing: the best two, three about the median and the worst three.

    Chosen by error alone, each at least a second from the others, and none twice.
    """
    counted = [frame for frame in frames if frame.counts]
    ordered = sorted(counted, key=lambda frame: (frame.add_d, frame.number))
    middle = len(ordered) // 2
    typical = sorted(range(len(ordered)), key=lambda rank: abs(rank - middle))
    candidates = (
        ("Best", 2, ordered),
        ("Worst", 3, ordered[::-1]),
        ("Typical", 3, [ordered[rank] for rank in typical]),
    )
    chosen: list[tuple[str, Judged]] = []
    for heading, count, several in candidates:
        wanted = len(chosen) + count
        for frame in several:
            if len(chosen) == wanted:
                break
            if all(abs(frame.time_s - other.time_s) > 1.0 for _, other in chosen):
                chosen.append((heading, frame))
    order = ("Best", "Typical", "Worst")
    return sorted(chosen, key=lambda item: order.index(item[0]))


def images_of(bag: Path, topic: str) -> Iterator[tuple[int, Image, Camera]]:
    """Stamp, image and camera of the camera images of a bag."""
    for frame in open_source(bag, topic=topic):
        if frame.camera is not None:
            yield frame.stamp_ns, frame.image, frame.camera


def write_pictures(
    bag: Path,
    topic: str,
    frames: Sequence[Judged],
    model: ObjectModel,
    video: Path,
    fps: float,
    keep: Sequence[int],
) -> Gallery:
    """Writes the overlay video in one pass over the bag.

    Args:
        bag: the recording.
        topic: of the camera's images.
        frames: judged; images of other stamps are left out.
        model: of the object.
        video: file to write.
        fps: of the video.
        keep: stamps of the frames wanted as single pictures.
    """
    judged = {frame.stamp_ns: frame for frame in frames}
    middle = frames[len(frames) // 2].time_s if frames else 0.0
    kept: dict[int, Image] = {}
    clip: list[Image] = []
    with _video(video, fps) as writer:
        images = tqdm(images_of(bag, topic), "report", len(frames), unit="frame")
        for stamp, image, camera in images:
            if stamp in judged:
                picture = annotate(image, camera, model, judged[stamp])
                writer.write(picture)
                if stamp in keep:
                    kept[stamp] = picture
                near = abs(judged[stamp].time_s - middle) < _CLIP_S / 2
                if near and judged[stamp].number % _CLIP_STEP == 0:
                    clip.append(_shrunk(picture))
    return Gallery(kept, clip, _CLIP_STEP / fps)


def write_png(path: Path, image: Image) -> None:
    """Writes an RGB image."""
    if not cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR)):
        raise PictureError(f"{path} cannot be written; is the disk full?")


class _Writer:
    """A video file that is opened when the size of its first frame is known."""

    def __init__(self, path: Path, fps: float) -> None:
        self._path, self._fps = path, fps
        self._file: cv2.VideoWriter | None = None

    def write(self, image: Image) -> None:
        """Adds an RGB image."""
        if self._file is None:
            self._file = self._open((image.shape[1], image.shape[0]))
        self._file.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))

    def _open(self, size: tuple[int, int]) -> cv2.VideoWriter:
        # Trying a codec that is not there is no error to be shown.
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        for codec in _CODECS:
            fourcc = cv2.VideoWriter.fourcc(*codec)
            file = cv2.VideoWriter(str(self._path), fourcc, self._fps, size)
            if file.isOpened():
                return file
        raise PictureError(f"{self._path}: this build of OpenCV writes neither H.264 nor MPEG-4")

    def close(self) -> None:
        """Finishes the file."""
        if self._file is not None:
            self._file.release()


@contextmanager
def _video(path: Path, fps: float) -> Iterator[_Writer]:
    """A writer whose file takes its place only when it is whole."""
    part = path.with_name(f"part-{path.name}")
    writer = _Writer(part, fps)
    try:
        yield writer
    finally:
        writer.close()
    if part.exists():
        part.replace(path)


def _shrunk(image: Image) -> Image:
    height = round(image.shape[0] * _CLIP_WIDTH / image.shape[1])
    small = cv2.resize(image, (_CLIP_WIDTH, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)


def _estimate(frame: Judged, camera: Camera, model: ObjectModel) -> PoseEstimate:
    assert frame.pose is not None
    pose = frame.pose
    return as_estimate(
        pose.T_camera_object, camera, model, pose.score, np.reshape(pose.covariance, (6, 6))
    )


def as_estimate(
    T: Array,
    camera: Camera,
    model: ObjectModel,
    score: float = 1.0,
    covariance: Array | None = None,
) -> PoseEstimate:
    """A pose in the form in which it is drawn."""
    pixels = camera.project(transform(T, model.mesh.vertices))
    (x0, y0), (x1, y1) = pixels.min(axis=0), pixels.max(axis=0)
    return PoseEstimate(
        object_name=model.name,
        instance_id=0,
        T_camera_object=T,
        covariance=np.zeros((6, 6)) if covariance is None else covariance,
        score=score,
        reprojection_error=0.0,
        box=(float(x0), float(y0), float(x1), float(y1)),
    )


def _with_strip(canvas: Image, frame: Judged) -> Image:
    strip = np.full((_STRIP, canvas.shape[1], 3), _DARK, np.uint8)
    if not frame.counts:
        text, colour = f"{frame.visible:.0%} to be seen: not scored", (150, 150, 150)
    elif frame.pose is None:
        text, colour = "missed", _BAD
    else:
        colour = _GOOD if frame.right else _BAD
        text = (
            f"ADD {frame.add_d:.3f} d   {frame.rotation_deg:.1f} deg   "
            f"{frame.translation_mm:.1f} mm"
        )
    cv2.circle(strip, (14, _STRIP // 2), 5, colour, cv2.FILLED, cv2.LINE_AA)
    cv2.putText(strip, text, (28, 16), _FONT, 0.42, (225, 225, 225), 1, cv2.LINE_AA)
    right = f"{frame.time_s:5.2f} s"
    cv2.putText(
        strip, right, (canvas.shape[1] - 62, 16), _FONT, 0.42, (150, 150, 150), 1, cv2.LINE_AA
    )
    return np.vstack([canvas, strip])
