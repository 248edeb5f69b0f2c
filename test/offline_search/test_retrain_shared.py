# SPDX-License-Identifier: Apache-2.0
"""Several objects from one training, by themselves and in the pipeline: real, but far too short."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import trimesh
from typer.testing import CliRunner

from fpg_pose_ros.bundle import read_bundle
from offline_search import cli
from offline_search.data.create import create_object
from offline_search.pipeline import pipeline
from offline_search.plan import PipelineError, Request, make_plan
from offline_search.prepare import SharedTraining
from offline_search.retrain_shared import retrain_shared
from offline_search.space.cost import cost
from offline_search.space.presets import preset
from offline_search.training.config import TrainConfig, TrainingError
from offline_search.training.journal import read_metrics
from offline_search.training.loop import RESULT_FILE, load_result

SETTINGS = {"batch": 8, "workers": 0, "validation": 4, "validations": 0}
CONFIG = TrainConfig(images=8, layers=8, **SETTINGS)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def block(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An object file: a block of 8 keypoints that half a turn leaves as it is."""
    folder = tmp_path_factory.mktemp("block")
    trimesh.creation.box((0.1, 0.06, 0.2)).export(folder / "block.ply")
    half = [-1, 0, 0, 0, 0, -1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    create_object(
        folder / "block.ply",
        units="m",
        name="block",
        out=folder,
        symmetries={"discrete": [half], "continuous": []},
        keypoints=8,
    )
    return str(folder / "block.yaml")


@pytest.fixture(scope="module")
def request_(block: str) -> Request:
    return Request(
        objects=("spot", block),
        images=8,
        locator_images=8,
        architecture="demo",
        layers=8,
        frames=2,
        settings=SETTINGS,
        shared_backbone=True,
    )


@pytest.fixture(scope="module")
def run(request_: Request, layer_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    pipeline(request_, out, cache=layer_cache)
    return out


def test_the_pipeline_ends_with_a_bundle_of_networks_with_one_backbone(run: Path) -> None:
    bundle = read_bundle(run / "bundle")
    assert [len(item.model.keypoints) for item in bundle.objects] == [16, 8]
    assert [item.network.macs for item in bundle.objects] == [
        cost(preset("demo", outputs)).macs for outputs in (16, 8)
    ]
    training = bundle.manifest["training"]
    assert training["request"]["shared_backbone"] is True
    assert set(training["minutes_by_network"]) == {"pose-spot", "pose-block", "locator"}
    assert set(training["curves"]) == {"poses", "locator"}
    assert training["images"] == 3 * 8
    spot, block = (load_result(run / f"pose-{name}") for name in ("spot", "block"))
    weights = [result.network.state_dict() for result in (spot, block)]
    backbone = [name for name in weights[0] if not name.startswith("head.")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in backbone)
    assert spot.images == block.images == 8
    assert bundle.objects[1].network.extra["window_px"] == block.extra["window_px"]


def test_a_finished_training_of_all_is_not_repeated(
    run: Path, request_: Request, layer_cache: Path
) -> None:
    kept = run / "pose-block" / RESULT_FILE
    before = kept.read_bytes()
    kept.unlink()  # as if killed between the end of the training and the last file
    plan = make_plan(request_, run)
    assert isinstance(plan.shared, SharedTraining)
    assert not plan.shared.finished
    plan.shared.run(layer_cache)
    assert plan.shared.finished
    assert kept.read_bytes() == before
    assert len(read_metrics(run / "poses", "validation")) == 1


def test_a_plan_knows_the_renders_of_all_objects(request_: Request, tmp_path: Path) -> None:
    plan = make_plan(request_, tmp_path / "out")
    single = make_plan(replace(request_, shared_backbone=False), tmp_path / "single")
    assert plan.trainings == (plan.shared, plan.locator)
    assert plan.shared is not None
    folders = [
        {store.folder for work in works for store in work.stores(tmp_path / "cache")}
        for works in ([plan.shared], single.poses)
    ]
    assert folders[0] == folders[1]


def test_one_search_serves_all(request_: Request, block: str, tmp_path: Path) -> None:
    searched = replace(request_, architecture=None, space="tiny", budget_macs=2_900_000)
    plan = make_plan(searched, tmp_path / "out")
    (search,) = plan.searches
    assert search.request.objects == ("spot",)
    assert all(pose.architecture is search for pose in plan.poses)
    with pytest.raises(PipelineError, match="name spot first"):
        make_plan(replace(searched, objects=(block, "spot")), tmp_path / "other")


def test_a_run_from_before_backbones_were_shared_goes_on(tmp_path: Path) -> None:
    request = Request(("spot",), 8, 8, architecture="demo", layers=8)
    make_plan(request, tmp_path)
    note = tmp_path / "pipeline.json"
    held = json.loads(note.read_text())
    del held["shared_backbone"]
    note.write_text(json.dumps(held))
    make_plan(request, tmp_path)
    with pytest.raises(PipelineError, match="two or more objects"):
        make_plan(replace(request, shared_backbone=True), tmp_path)


def test_the_budget_is_that_of_each_objects_own_network(request_: Request, tmp_path: Path) -> None:
    macs = cost(preset("demo", 16)).macs
    make_plan(replace(request_, budget_macs=macs), tmp_path / "within")
    with pytest.raises(PipelineError, match="budget"):
        make_plan(replace(request_, budget_macs=macs - 1), tmp_path / "beyond")


def test_the_command_trains_several_objects_together(
    block: str, layer_cache: Path, tmp_path: Path
) -> None:
    command = ["retrain", "--object", "spot", "--object", block, "--architecture", "demo"]
    command += ["--images", "8", "--layers", "8", "--settings", json.dumps(SETTINGS)]
    done = CliRunner().invoke(
        cli.app, [*command, "--cache", str(layer_cache), "--out", str(tmp_path)]
    )
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [Path(line["out"]).name for line in lines] == ["pose-spot", "pose-block"]
    assert (tmp_path / "pose-block" / "architecture.json").exists()


def test_one_object_alone_shares_nothing(tmp_path: Path) -> None:
    for objects in (["spot"], ["spot", "spot"]):
        with pytest.raises(TrainingError, match="different names"):
            retrain_shared(objects, architecture="demo", config=CONFIG, out=tmp_path)
    assert not list(tmp_path.iterdir())
