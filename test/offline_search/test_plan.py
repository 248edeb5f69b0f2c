# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fpg_pose_ros.errors import FpgPoseError, MeshError
from offline_search.data.datasets import FRAME_LAYER_PX
from offline_search.plan import REQUEST_FILE, PipelineError, Request, make_plan
from offline_search.prepare import Search, Training
from offline_search.space.architecture import ArchitectureError
from offline_search.space.cost import cost
from offline_search.space.presets import preset
from offline_search.space.temporal import Edge, TemporalCell
from offline_search.strategies.problem import SearchError

REQUEST = Request(objects=("spot",), images=64, locator_images=32, architecture="demo", layers=8)
SEARCHED = replace(REQUEST, architecture=None, budget_macs=15_000_000, search_images=48)


def test_a_plan_trains_one_pose_network_an_object_and_one_locator(tmp_path: Path) -> None:
    plan = make_plan(REQUEST, tmp_path)
    assert [t.kind for t in (*plan.poses, plan.locator)] == ["pose", "locator"]
    assert plan.searches == ()
    assert plan.poses[0].network.head.outputs == len(plan.things[0].model.keypoints)
    assert plan.locator.network.head.outputs == 1
    assert (plan.poses[0].config.images, plan.locator.config.images) == (64, 32)
    assert plan.name == "spot"


def test_both_kinds_of_network_draw_from_the_same_renders(tmp_path: Path) -> None:
    plan = make_plan(REQUEST, tmp_path)
    pose, locator = plan.poses[0].config, plan.locator.config
    assert (pose.seed, pose.layers) == (locator.seed, locator.layers)


def test_without_an_architecture_each_pose_network_is_searched_for(tmp_path: Path) -> None:
    plan = make_plan(SEARCHED, tmp_path, command="fpg-pose pipeline --so")
    (search,) = plan.searches
    assert plan.poses[0].architecture is search
    assert search.out == tmp_path / "search-spot"
    assert search.command == "fpg-pose pipeline --so"
    assert (search.request.budget, search.request.images) == (15_000_000, 48)
    assert (search.request.ranking, search.request.retrain_images) == (0, 0)
    assert plan.works == (search, *plan.poses, plan.locator)


def test_a_search_and_all_trainings_draw_from_the_same_renders(tmp_path: Path) -> None:
    plan = make_plan(SEARCHED, tmp_path / "out")
    search, pose, locator = (seen(work, tmp_path / "cache") for work in plan.works)
    assert len(search & pose & locator) == 2  # the object's for training, and the clutter
    assert len(pose - locator) == 0
    assert len(search - pose) == 1  # held out for the choice of the architecture


def seen(work: Search | Training, cache: Path) -> set[Path]:
    """Folders of the renders that it draws from."""
    return {store.folder for store in work.stores(cache)}


def test_renders_are_never_too_coarse_for_the_locator(tmp_path: Path) -> None:
    plan = make_plan(replace(SEARCHED, space="tiny", budget_macs=2_900_000), tmp_path)
    assert plan.poses[0].config.layer_px == plan.locator.config.layer_px == FRAME_LAYER_PX


def test_settings_hold_for_the_search_too(tmp_path: Path) -> None:
    settings = {"lr": 0.001, "layer_px": 96}
    (search,) = make_plan(replace(SEARCHED, settings=settings), tmp_path).searches
    config = search.request.config(search.request.images)
    assert (config.lr, config.layer_px, config.layers) == (0.001, 96, SEARCHED.layers)


def test_a_folder_serves_one_request_only(tmp_path: Path) -> None:
    make_plan(REQUEST, tmp_path)
    make_plan(REQUEST, tmp_path)
    with pytest.raises(PipelineError, match="another seed"):
        make_plan(replace(REQUEST, seed=1), tmp_path)
    with pytest.raises(PipelineError, match="another renderer"):
        make_plan(replace(REQUEST, renderer="mitsuba"), tmp_path)


def test_a_folder_from_before_there_was_a_choice_of_renderers_had_the_default(
    tmp_path: Path,
) -> None:
    make_plan(REQUEST, tmp_path)
    note = tmp_path / REQUEST_FILE
    held = json.loads(note.read_text())
    del held["renderer"]
    note.write_text(json.dumps(held))
    make_plan(REQUEST, tmp_path)
    with pytest.raises(PipelineError, match="another renderer"):
        make_plan(replace(REQUEST, renderer="mitsuba"), tmp_path)


def test_searches_and_trainings_render_with_what_is_asked_for(tmp_path: Path) -> None:
    plan = make_plan(replace(SEARCHED, renderer="mitsuba"), tmp_path)
    (search,) = plan.searches
    trained = [*(training.config for training in plan.poses), plan.locator.config]
    for config in (search.request.config(8), *trained):
        assert config.renderer == "mitsuba"


def test_a_network_beyond_the_budget_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    macs = cost(preset("demo", 16)).macs
    make_plan(replace(REQUEST, budget_macs=macs), tmp_path / "within")
    with pytest.raises(PipelineError, match="budget"):
        make_plan(replace(REQUEST, budget_macs=macs - 1), tmp_path / "beyond")
    assert not (tmp_path / "beyond").exists()


def test_a_temporal_cell_is_not_planned_for_and_what_makes_one_is_named(tmp_path: Path) -> None:
    network = preset("demo", 16)
    cell = TemporalCell((Edge(1, ("t_dw3",)),))
    place = tmp_path / "architecture.json"
    place.write_text(json.dumps(replace(network, cell=cell).to_json()))
    changes: tuple[dict[str, Any], ...] = (
        {"architecture": str(place)},
        {"architecture": None, "budget_macs": 10**8, "space": "temporal", "strategy": "temporal"},
    )
    for change in changes:
        with pytest.raises(PipelineError, match=r"search --space temporal --seed.*fpg-pose export"):
            make_plan(replace(REQUEST, **change), tmp_path / "out")
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"objects": ()}, PipelineError),
        ({"objects": ("spot", "spot")}, PipelineError),
        ({"objects": ("nobody",)}, MeshError),
        ({"architecture": "huge"}, ArchitectureError),
        ({"architecture": None}, PipelineError),
        ({"architecture": None, "budget_macs": 10**5, "space": "tiny"}, SearchError),
        ({"architecture": None, "budget_macs": 10**7, "space": "vast"}, FpgPoseError),
        ({"architecture": None, "budget_macs": 10**7, "strategy": "oracle"}, SearchError),
        (
            {"architecture": None, "budget_macs": 10**7, "strategy_settings": {"luck": 1}},
            SearchError,
        ),
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_is_made(
    change: dict[str, object], error: type[Exception], tmp_path: Path
) -> None:
    with pytest.raises(error):
        make_plan(replace(REQUEST, **change), tmp_path / "out")  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
