# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fpg_pose_ros.geometry import Array
from fpg_pose_ros.objects import ObjectModel
from offline_search.metrics.scores import ObjectGeometry
from offline_search.report.judgement import Judged, judge, summary, write_csv
from offline_search.report.recording import Recording, read_recording

Run = Callable[..., Path]


def geometry(model: ObjectModel) -> ObjectGeometry:
    return ObjectGeometry(model.mesh.vertices, np.eye(4)[None], model.diameter)


def everything(truth: Array) -> float:
    return 1.0


def judged(
    bag: Path, model: ObjectModel, visible: Callable[[Array], float] = everything
) -> tuple[list[Judged], Recording]:
    recording = read_recording(bag)
    return judge(recording, model.name, geometry(model), visible), recording


def test_errors_are_the_distance_between_the_poses(write_run: Run, model: ObjectModel) -> None:
    frames, _ = judged(write_run([0.0], [0.01]), model)
    (frame,) = frames
    assert frame.add_d == pytest.approx(0.01 / model.diameter)
    assert frame.translation_mm == pytest.approx(10.0)
    assert frame.rotation_deg == pytest.approx(0.0, abs=1e-4)
    assert frame.right


def test_a_frame_without_a_pose_or_without_an_answer_is_a_failure(
    write_run: Run, model: ObjectModel
) -> None:
    frames, recording = judged(write_run([0, 0, 0, 0], [0.0, None, "silent", 0.1]), model)
    assert [frame.right for frame in frames] == [True, False, False, False]
    figures = summary(frames, recording, 4, 1)
    assert figures["add01"] == pytest.approx(0.25)
    assert figures["frames_received"] == 3
    assert figures["poses"] == 2


def test_frames_that_show_less_than_half_of_the_object_are_not_scored(
    write_run: Run, model: ObjectModel
) -> None:
    frames, recording = judged(
        write_run([0.0, 0.1], [0.0, None]), model, lambda T: 1.0 if T[0, 3] < 0.05 else 0.49
    )
    figures = summary(frames, recording, 2, 1)
    assert figures["frames_scored"] == 1
    assert figures["add01"] == 1.0


def test_medians_are_over_scored_frames_with_a_pose(write_run: Run, model: ObjectModel) -> None:
    bag = write_run([0, 0, 0, 0], [0.001, 0.002, 0.009, None])
    frames, recording = judged(bag, model)
    figures = summary(frames, recording, 4, 1)
    assert figures["translation_mm_median"] == pytest.approx(2.0)


def test_latency_is_of_all_answers(write_run: Run, model: ObjectModel) -> None:
    frames, recording = judged(write_run([0, 0], [0.0, None], 12.0), model)
    figures = summary(frames, recording, 2, 1)
    assert figures["latency_ms_p50"] == pytest.approx(12.0)
    assert figures["latency_ms_p99"] == pytest.approx(12.0)
    assert figures["node_ms_p50"] == pytest.approx(5.0)


def test_a_run_without_any_answer_has_figures_all_the_same(
    write_run: Run, model: ObjectModel
) -> None:
    frames, recording = judged(write_run([0.0], ["silent"]), model)
    figures = summary(frames, recording, 1, 7)
    assert figures["add01"] == 0.0
    assert figures["latency_ms_p50"] is None
    assert figures["rotation_deg_median"] is None
    assert figures["macs"] == 7


def test_the_table_has_a_row_a_frame_and_empty_cells_for_a_miss(
    write_run: Run, model: ObjectModel, tmp_path: Path
) -> None:
    frames, _ = judged(write_run([0.0, 0.0], [0.001, None]), model)
    write_csv(tmp_path / "poses.csv", frames)
    rows = list(csv.DictReader((tmp_path / "poses.csv").open()))
    assert len(rows) == 2
    assert float(rows[0]["translation_mm"]) == pytest.approx(1.0)
    assert float(rows[0]["x"]) == pytest.approx(0.001)
    assert rows[1]["x"] == rows[1]["add_d"] == ""
    assert float(rows[1]["true_z"]) == pytest.approx(0.5)
    assert all(None not in row for row in rows)
