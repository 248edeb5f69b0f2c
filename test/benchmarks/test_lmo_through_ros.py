# SPDX-License-Identifier: Apache-2.0
"""The benchmark on a small dataset, with real processes and DDS between them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.common import VIEWS
from benchmarks.lmo_through_ros import main, update_rows
from offline_search.data.bop import BopDataset
from offline_search.data.bop_results import read_results

sys.path.insert(0, str(Path(__file__).parents[1] / "offline_search"))
from cube_dataset import OBJECT, write_cube_bundle, write_cube_dataset

#: The keys of a row that whoever reads the results relies on.
ROW = {
    "object",
    "images",
    "targets",
    "macs_pose",
    "macs_locator",
    "train_minutes",
    "seed",
    "through_ros",
    "add01",
    "mssd_recall",
    "mspd_recall",
    "latency_ms_p50",
}


@pytest.mark.ros
def test_photographs_go_through_the_topics_and_come_back_scored(tmp_path: Path) -> None:
    dataset = write_cube_dataset(tmp_path / "cubes", images=8, hidden=2)
    bundle = write_cube_bundle(tmp_path / "cube")
    results = tmp_path / "results.json"
    arguments = ["--data", dataset, "--bundle", bundle, "--objects", f"cube={OBJECT}"]
    arguments += ["--work", tmp_path / "work", "--results", results, "--rate", 20]
    assert main([str(argument) for argument in arguments]) == 0

    (row,) = json.loads(results.read_text())
    assert row.keys() >= ROW
    assert (row["object"], row["images"], row["targets"], row["misses"]) == ("cube", 10, 10, 2)
    assert row["add01"] == 0.8
    assert row["through_ros"] is True
    assert 0 < row["latency_ms_p50"] < 1000

    # Every pose came back under the number of its own photograph.
    found = read_results(tmp_path / "work" / "fpg-pose-ros_cubes-test.csv")
    assert len(found) == 8
    scene = BopDataset(dataset).scene(1)
    for result in found:
        truth = scene.image(result.image_id).truth(OBJECT, 1)[0]
        assert abs(result.T_camera_object[:3, 3] - truth[:3, 3]).max() < 0.02


def test_a_row_takes_the_place_of_that_of_the_same_object_and_bundle(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "lmo.json"
    update_rows(path, [{"object": "can", "bundle_hash": "a", "add01": 0.1}])
    update_rows(path, [{"object": "can", "bundle_hash": "b", "add01": 0.2}])
    update_rows(path, [{"object": "can", "bundle_hash": "a", "add01": 0.3}])
    assert [(row["bundle_hash"], row["add01"]) for row in json.loads(path.read_text())] == [
        ("b", 0.2),
        ("a", 0.3),
    ]


def test_without_data_the_command_says_where_it_comes_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.delenv("FPG_POSE_DATA", raising=False)
    assert main(["--work", str(tmp_path)]) == 2
    assert "set FPG_POSE_DATA" in capsys.readouterr().err
    assert main(["--work", str(tmp_path), "--data", str(tmp_path / "nowhere")]) == 2
    assert "nowhere does not exist" in capsys.readouterr().err


def test_the_objects_are_made_with_the_views_that_occur(pose_data: Path, tmp_path: Path) -> None:
    made = BopDataset(pose_data / "lmo").create_object(5, tmp_path, name="can", views=VIEWS)
    assert made.views.elevation_deg == (-14, 89)
    assert made.views.distance_m == (0.34, 1.55)
    assert made.model.diameter == pytest.approx(0.2014, rel=0.01)
