# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from fpg_pose_ros.bundle import write_bundle
from fpg_pose_ros.errors import BundleError
from offline_search.inspect_bundle import inspect

sys.path.insert(0, str(Path(__file__).parents[1] / "fpg_pose_ros"))
import cube_world


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    place = tmp_path_factory.mktemp("bundle") / "cube"
    manifest = cube_world.cube_manifest()
    manifest["metrics"]["curve"] = [0.1, 0.2, 0.3]
    write_bundle(place, manifest, cube_world.cube_files())
    return place


def test_people_read_name_hash_objects_costs_training_and_metrics(bundle, capsys):
    opened = inspect(bundle)
    text = capsys.readouterr().out
    for part in (
        "cube by hand, format 2",
        opened.hash,
        "diameter 277.1 mm, 8 keypoints",
        "heatmap, input 128 x 128 px, 1.00 MMACs (2.00 MFLOPs)",
        "locator, input 224 x 168 px",
        "none: built by hand",
        "metrics add01",
        "pictures of balls",
        "weights.safetensors",
    ):
        assert part in text
    assert "curve" not in text


def test_programs_read_all_of_it_as_json(bundle, capsys):
    opened = inspect(bundle, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["hash"] == opened.hash
    assert document["flops"] == {"pose": {"cube": 2_000_000}, "locator": 2_000_000}
    assert document["metrics"]["curve"] == [0.1, 0.2, 0.3]


def test_a_refused_bundle_is_not_described(bundle, capsys, tmp_path):
    (bundle / "pose.onnx").write_bytes(b"other")
    with pytest.raises(BundleError, match=r"pose\.onnx"):
        inspect(bundle)
    assert capsys.readouterr().out == ""
