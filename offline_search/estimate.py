# SPDX-License-Identifier: Apache-2.0
"""`fpg-pose estimate`: run a bundle over recorded images; poses as CSV, and pictures of them."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fpg_pose_ros.bundle import read_bundle
from fpg_pose_ros.errors import CameraError, DatasetError
from fpg_pose_ros.estimator import Estimator, Limits, PoseEstimate
from fpg_pose_ros.geometry import quaternion_wxyz
from fpg_pose_ros.objects import ObjectModel
from fpg_pose_ros.overlay import draw
from fpg_pose_ros.sources import Frame, open_source, read_camera
from fpg_pose_ros.tracking import PoseTracker, TrackingSettings
from offline_search.estimate_bag import PosedBag, added_poses, is_ros2_bag

POSES_FILE: Final = "poses.csv"
VIDEO_FILE: Final = "overlay.mp4"
PICTURES_FOLDER: Final = "overlays"
BAG_FOLDER: Final = "bag"
#: Pose columns: metres, unit quaternion, then standard deviations in metres and radians.
COLUMNS: Final = (
    "frame",
    "stamp_ns",
    "object",
    "instance",
    "score",
    "reprojection_error_px",
    *("tx", "ty", "tz", "qw", "qx", "qy", "qz"),
    *("sigma_tx", "sigma_ty", "sigma_tz", "sigma_rx", "sigma_ry", "sigma_rz"),
    "total_ms",
)
Overlays = Literal["images", "video", "none"]
_JPEG_QUALITY: Final = 92
_DEFAULT_RATE: Final = 30.0


@dataclass(frozen=True)
class Summary:
    """What came of a run.

    Attributes:
        frames: images read.
        poses: poses written.
        ms_p50: median time of the estimator on one image, ms.
        output: folder with the results.
    """

    frames: int
    poses: int
    ms_p50: float
    output: Path


def estimate(
    bundle: Path,
    source: Path,
    *,
    output: Path,
    camera: Path | None = None,
    topic: str | None = None,
    overlays: Overlays = "images",
    backend: str = "onnxruntime",
    threads: int = 1,
    device: str = "cpu",
    min_score: float = 0.3,
    max_reprojection_error: float = 0.12,
    limit: int | None = None,
    bag: bool = True,
    bag_out: Path | None = None,
    track: bool = False,
) -> Summary:
    """The command: estimate poses in all images of a source.

    Args:
        bundle: directory or zip of the model bundle.
        source: image, folder of images, video, BOP scene folder or rosbag.
        output: folder for poses.csv and the overlays; made if it is not there.
        camera: calibration file; needed where the source holds none.
        topic: image topic of a bag with several.
        overlays: pictures of each frame, one video, or nothing.
        backend: what runs the networks, see `fpg_pose_ros.backends`.
        threads: of one inference.
        device: cpu or cuda.
        min_score: see `Limits`.
        max_reprojection_error: see `Limits`.
        limit: stop after so many images.
        bag: of a ROS 2 bag, write a copy with the poses in it.
        bag_out: where to; a folder that is not there yet. By default `bag` in the output folder,
            where it replaces an earlier one.
        track: follow things from image to image, as the node does; else each image stands alone.

    Raises:
        FpgPoseError: bundle, source or calibration cannot be used.
    """
    opened = read_bundle(bundle)
    frames = open_source(source, read_camera(camera) if camera else None, topic=topic)
    estimator = Estimator(
        opened,
        backend=backend,
        threads=threads,
        device=device,
        limits=Limits(min_score=min_score, max_reprojection_error=max_reprojection_error),
    )
    tracker = PoseTracker([estimator], TrackingSettings(enabled=track))
    models = [item.model for item in opened.objects]
    times: list[float] = []
    poses = 0
    output.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        table = stack.enter_context(open(output / POSES_FILE, "w", newline="", encoding="utf-8"))
        writer = csv.writer(table)
        writer.writerow(COLUMNS)
        pictures = stack.enter_context(_pictures(output, overlays))
        copy = stack.enter_context(_copy(source, output, bag_out, models)) if bag else None
        bar = tqdm(islice(frames, limit), "estimate", limit, unit="image", dynamic_ncols=True)
        for frame in stack.enter_context(bar):
            if frame.camera is None:
                raise CameraError(f"{source}: {frame.name} has no calibration; give --camera FILE")
            result = tracker.estimate(frame.image, frame.camera, frame.stamp_ns, frame.frame_id)
            times.append(result.times.total_ms)
            poses += len(result.estimates)
            writer.writerows(row(frame, item, times[-1]) for item in result.estimates)
            picture = None
            if overlays != "none":
                picture = draw(frame.image, frame.camera, result.estimates, models)
                pictures.add(frame, picture)
            if copy is not None:
                copy.add(frame, result, picture)
        if not times:
            raise DatasetError(f"{source} holds no images")
    summary = Summary(len(times), poses, float(np.median(times)), output)
    print(
        f"{summary.poses} poses in {summary.frames} images, {summary.ms_p50:.1f} ms an image; "
        f"see {output / POSES_FILE}"
    )
    return summary


def _copy(
    source: Path, output: Path, bag_out: Path | None, models: Sequence[ObjectModel]
) -> AbstractContextManager[PosedBag | None]:
    """The copy of a ROS 2 bag that poses are added to; nothing for other sources."""
    if not is_ros2_bag(source):
        if bag_out is not None:
            raise DatasetError(f"--bag-out: {source} is no ROS 2 bag (MCAP or db3)")
        return nullcontext()
    names = [model.name for model in models]
    return added_poses(source, bag_out or output / BAG_FOLDER, names, replace=bag_out is None)


def row(frame: Frame, item: PoseEstimate, total_ms: float) -> list[str | int]:
    """Returns the CSV row of one pose, in the order of `COLUMNS`."""
    T = item.T_camera_object
    sigmas = np.sqrt(np.diagonal(item.covariance))
    numbers = [*T[:3, 3], *quaternion_wxyz(T[:3, :3]), *sigmas]
    return [
        frame.name,
        frame.stamp_ns,
        item.object_name,
        item.instance_id,
        f"{item.score:.4f}",
        f"{item.reprojection_error:.3f}",
        *(f"{number:.9g}" for number in numbers),
        f"{total_ms:.3f}",
    ]


class _Pictures(Protocol):
    def add(self, frame: Frame, picture: NDArray[np.uint8]) -> None: ...


class _Images:
    """Writes each picture as a JPEG file."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._count = 0

    def add(self, frame: Frame, picture: NDArray[np.uint8]) -> None:
        path = self._folder / f"{self._count:06d}_{frame.name}.jpg"
        quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        if not cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), quality):
            raise DatasetError(f"{path} cannot be written; is the disk full?")
        self._count += 1


class _Video:
    """Writes the pictures as one MP4 file at the rate of their stamps."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: cv2.VideoWriter | None = None
        self._first: tuple[Frame, NDArray[np.uint8]] | None = None

    def add(self, frame: Frame, picture: NDArray[np.uint8]) -> None:
        if self._writer is None and self._first is None:
            self._first = frame, picture  # waits for the second, which tells the rate
            return
        if self._first is not None:
            earlier, waiting = self._first
            seconds = (frame.stamp_ns - earlier.stamp_ns) * 1e-9
            self._open(1.0 / seconds if 0.001 < seconds < 10.0 else _DEFAULT_RATE, waiting)
            self._first = None
        self._write(picture)

    def close(self) -> None:
        if self._first is not None:
            self._open(_DEFAULT_RATE, self._first[1])
        if self._writer is not None:
            self._writer.release()

    def _open(self, rate: float, picture: NDArray[np.uint8]) -> None:
        size = picture.shape[1], picture.shape[0]
        codec = cv2.VideoWriter.fourcc(*"mp4v")
        self._writer = cv2.VideoWriter(str(self._path), codec, round(rate, 3), size)
        if not self._writer.isOpened():
            raise DatasetError(f"{self._path} cannot be written; use --overlays images")
        self._write(picture)

    def _write(self, picture: NDArray[np.uint8]) -> None:
        assert self._writer is not None
        self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


@contextmanager
def _pictures(output: Path, overlays: Overlays) -> Iterator[_Pictures]:
    if overlays == "video":
        video = _Video(output / VIDEO_FILE)
        try:
            yield video
        finally:
            video.close()
    else:
        yield _Images(output / PICTURES_FOLDER if overlays == "images" else output)
