# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fpg_pose_ros.errors import DatasetError
from offline_search.report.recording import STAGES, read_recording


def test_every_answer_is_found_by_the_stamp_of_its_image(write_run: Callable[..., Path]) -> None:
    recording = read_recording(write_run([0.0, 0.01, 0.02], [0.0, None, "silent"], 8.0))
    stamps = list(recording.truth)
    assert len(stamps) == 3
    assert list(recording.answers) == stamps[:2]
    found, empty = recording.answers.values()
    assert found.poses[0].T_camera_object[:3, 3] == pytest.approx([0.0, 0.0, 0.5])
    assert found.poses[0].score == pytest.approx(0.75)
    assert empty.poses == ()


def test_latency_runs_from_the_cameras_stamp_to_reception(
    write_run: Callable[..., Path],
) -> None:
    recording = read_recording(write_run([0.0], [0.0], 12.5))
    (answer,) = recording.answers.values()
    assert answer.latency_ms == pytest.approx(12.5)
    assert set(answer.times_ms) == set(STAGES)


def test_the_overlay_is_not_taken_for_the_camera(write_run: Callable[..., Path]) -> None:
    recording = read_recording(write_run([0.0], [0.0]))
    assert recording.image_topic == "/image"
    assert recording.messages["/image"] == 1


def test_the_truth_is_the_transform_that_was_published(write_run: Callable[..., Path]) -> None:
    recording = read_recording(write_run([0.03], [0.0]))
    (poses,) = recording.truth.values()
    assert np.allclose(poses["thing"][:3, 3], [0.03, 0.0, 0.5])
    assert np.allclose(poses["thing"][:3, :3], np.eye(3))


def test_what_is_no_bag_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nothing_here"):
        read_recording(tmp_path / "nothing_here")
