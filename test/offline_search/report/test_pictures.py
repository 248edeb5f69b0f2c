# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from fpg_pose_ros.geometry import Camera
from fpg_pose_ros.objects import ObjectModel
from offline_search.metrics.scores import ObjectGeometry
from offline_search.report.judgement import Judged, judge
from offline_search.report.pictures import annotate, select, write_pictures
from offline_search.report.recording import read_recording

CAMERA = Camera(64, 48, np.array([[60.0, 0, 31.5], [0, 60.0, 23.5], [0, 0, 1]]))


def frames_of(bag: Path, model: ObjectModel) -> list[Judged]:
    geometry = ObjectGeometry(model.mesh.vertices, np.eye(4)[None], model.diameter)
    return judge(read_recording(bag), model.name, geometry, lambda _: 1.0)


def test_the_true_outline_is_white_where_the_object_is(
    write_run: Callable[..., Path], model: ObjectModel
) -> None:
    (frame,) = frames_of(write_run([0.0], [None]), model)
    image = np.full((48, 64, 3), 60, np.uint8)
    drawn = annotate(image, CAMERA, model, frame)
    rows, columns = np.nonzero((drawn[:48] > 200).all(axis=2))
    pixels = CAMERA.project(model.mesh.vertices + np.array([0, 0, 0.5]))
    assert rows.size > 0
    assert columns.min() >= pixels[:, 0].min() - 2
    assert columns.max() <= pixels[:, 0].max() + 2
    assert (image == 60).all()


def test_worst_frames_come_last_and_lie_apart_in_time(
    write_run: Callable[..., Path], model: ObjectModel
) -> None:
    errors = [0.001 * (i % 60) for i in range(120)]
    frames = frames_of(write_run([0.0] * 120, list(errors)), model)
    chosen = select(frames)
    headings = [heading for heading, _ in chosen]
    assert headings == sorted(headings)
    numbers = [frame.number for _, frame in chosen]
    assert len(set(numbers)) == len(numbers)
    worst = [frame for heading, frame in chosen if heading == "Worst"]
    assert worst[0].add_d == max(frame.add_d for frame in frames)
    for _, frame in chosen:
        others = [other for _, other in chosen if other is not frame]
        assert all(abs(frame.time_s - other.time_s) > 1.0 for other in others)


def test_nothing_to_choose_from_gives_nothing() -> None:
    assert select([]) == []


def test_the_video_plays_and_has_every_judged_frame(
    write_run: Callable[..., Path], model: ObjectModel, tmp_path: Path
) -> None:
    bag = write_run([0.0] * 12, [0.0] * 12)
    frames = frames_of(bag, model)
    video = tmp_path / "overlay.mp4"
    gallery = write_pictures(bag, "/image", frames, model, video, 30.0, [frames[3].stamp_ns])
    capture = cv2.VideoCapture(str(video))
    count = 0
    while capture.read()[0]:
        count += 1
    assert count == 12
    assert list(gallery.stills) == [frames[3].stamp_ns]
    assert len(gallery.clip) == 4
    assert not (tmp_path / "part-overlay.mp4").exists()
