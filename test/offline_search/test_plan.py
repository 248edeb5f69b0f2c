# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fpg_pose_ros.errors import MeshError
from offline_search.plan import PipelineError, Request, make_plan
from offline_search.space.architecture import ArchitectureError
from offline_search.space.cost import cost
from offline_search.space.presets import preset

REQUEST = Request(objects=("spot",), images=64, locator_images=32, architecture="demo", layers=8)


def test_a_plan_trains_one_pose_network_an_object_and_one_locator(tmp_path: Path) -> None:
    plan = make_plan(REQUEST, tmp_path)
    assert [t.kind for t in (*plan.poses, plan.locator)] == ["pose", "locator"]
    assert plan.poses[0].architecture.head.outputs == len(plan.things[0].model.keypoints)
    assert plan.locator.architecture.head.outputs == 1
    assert (plan.poses[0].config.images, plan.locator.config.images) == (64, 32)
    assert plan.name == "spot"


def test_both_kinds_of_network_draw_from_the_same_renders(tmp_path: Path) -> None:
    plan = make_plan(REQUEST, tmp_path)
    pose, locator = plan.poses[0].config, plan.locator.config
    assert (pose.seed, pose.layers) == (locator.seed, locator.layers)


def test_a_folder_serves_one_request_only(tmp_path: Path) -> None:
    make_plan(REQUEST, tmp_path)
    make_plan(REQUEST, tmp_path)
    with pytest.raises(PipelineError, match="another seed"):
        make_plan(replace(REQUEST, seed=1), tmp_path)


def test_a_network_beyond_the_budget_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    macs = cost(preset("demo", 16)).macs
    make_plan(replace(REQUEST, budget_macs=macs), tmp_path / "within")
    with pytest.raises(PipelineError, match="budget"):
        make_plan(replace(REQUEST, budget_macs=macs - 1), tmp_path / "beyond")
    assert not (tmp_path / "beyond").exists()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"objects": ()}, PipelineError),
        ({"objects": ("spot", "spot")}, PipelineError),
        ({"objects": ("nobody",)}, MeshError),
        ({"architecture": "huge"}, ArchitectureError),
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_is_made(
    change: dict[str, object], error: type[Exception], tmp_path: Path
) -> None:
    with pytest.raises(error):
        make_plan(replace(REQUEST, **change), tmp_path / "out")  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
