# SPDX-License-Identifier: Apache-2.0
"""The command end to end, on real renders of the built-in object, a few dozen samples each."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fpg_pose_ros.errors import DatasetError
from offline_search.data import renderers
from offline_search.data.objects import load_object
from offline_search.data.renderer import EmbreeRenderer
from offline_search.data.speed_poses import tango
from offline_search.retrain import VALIDATION_SEED, Kind, load_architecture, make_task, retrain
from offline_search.space import Architecture, ArchitectureError, Head, Stage
from offline_search.space.presets import preset
from offline_search.training.config import TrainConfig, TrainingError
from offline_search.training.journal import read_metrics

sys.path.insert(0, str(Path(__file__).parent))
from cube_dataset import OBJECT, write_cube_dataset
from speed_dataset import KEYPOINTS, write_speed_dataset

CONFIG = TrainConfig(
    images=48, batch=8, layers=12, workers=1, validation=4, validations=1, checkpoint_images=16
)
STAGES = (Stage(8, 2, (("sep_k3",),)), Stage(16, 2, (("sep_k5",),)))
POSE = Architecture((64, 64), 8, 8, STAGES, Head("heatmap", (16,), 16), turns=4)
LOCATOR = Architecture((48, 64), 8, 8, STAGES, Head("locator", (16,), 1))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("layers")


def test_a_pose_network_is_trained_on_renders(tmp_path: Path, cache: Path) -> None:
    result = retrain(
        ["spot"], kind="pose", architecture=POSE, config=CONFIG, out=tmp_path, cache=cache
    )
    assert result.images == 48
    assert 0 <= result.metrics["add01"] <= 1
    assert len(read_metrics(tmp_path, "validation")) == 2
    again = retrain(
        ["spot"], kind="pose", architecture=POSE, config=CONFIG, out=tmp_path, cache=cache
    )
    assert again.metrics == result.metrics


def test_a_pose_network_is_trained_on_a_datasets_photographs(tmp_path: Path) -> None:
    cubes = write_cube_dataset(tmp_path / "cubes", images=20, split="train_pbr")
    speed = write_speed_dataset(tmp_path / "speed", 24, tango(KEYPOINTS).mesh)
    eleven = replace(POSE, head=replace(POSE.head, outputs=len(KEYPOINTS), mask=True))
    for name, data, network in (
        (f"cube={OBJECT}", f"bop:{cubes}", POSE),
        ("tango", f"speed:{speed}", eleven),
    ):
        result = retrain(
            [name],
            kind="pose",
            architecture=network,
            config=replace(CONFIG, images=64),
            out=tmp_path / name,
            data=data,
        )
        assert result.images == 64
        assert 0 < result.metrics["keypoint_px"] < 64


def test_a_locator_is_trained_on_frames(tmp_path: Path, cache: Path) -> None:
    result = retrain(
        ["spot"], kind="locator", architecture=LOCATOR, config=CONFIG, out=tmp_path, cache=cache
    )
    assert 0 <= result.metrics["found"] <= 1
    assert 0 < result.extra["min_score"] < 1


class Another(EmbreeRenderer):
    """As good as an extra that is installed."""

    name = "another"  # type: ignore[misc]


@pytest.mark.parametrize(("kind", "network"), [("pose", POSE), ("locator", LOCATOR)])
def test_the_renderer_asked_for_makes_what_is_trained_on_and_the_default_what_is_held_out(
    kind: Kind, network: Architecture, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(renderers._RENDERERS, "moderngl", Another)
    config = replace(CONFIG, renderer="moderngl")
    task, _ = make_task([load_object("spot")], kind, network, config, cache)
    for samples, name in ((task.samples, "another"), (task.held_out, "embree")):
        stores = [samples.layers] if kind == "pose" else samples.layers
        for store in stores:
            described = json.loads((store.folder / "layers.json").read_text())
            assert described["renderer"] == name
    usual, _ = make_task([load_object("spot")], kind, network, CONFIG, cache)
    first = usual.held_out.layers if kind == "pose" else usual.held_out.layers[0]
    assert first.folder == stores[0].folder  # both are judged on the same pictures


def test_equal_seeds_give_equal_networks_on_renders(tmp_path: Path, cache: Path) -> None:
    config = replace(CONFIG, images=16, validations=0)
    states = [
        retrain(
            ["spot"],
            kind="pose",
            architecture=POSE,
            config=replace(config, workers=workers),
            out=tmp_path / str(workers),
            cache=cache,
        ).network.state_dict()
        for workers in (0, 2)
    ]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_architectures_come_from_presets_and_files(tmp_path: Path) -> None:
    assert load_architecture("demo", 16) == preset("demo", 16)
    assert load_architecture("demo@64", 9) == replace(preset("demo", 9), input_size=(64, 64))
    path = tmp_path / "architecture.json"
    for document in (POSE.to_json(), {"architecture": POSE.to_json(), "macs": 1}):
        path.write_text(json.dumps(document))
        assert load_architecture(path, 16) == POSE
        assert load_architecture(f"{path}@96", 16) == replace(POSE, input_size=(96, 96))
    path.write_text("{")
    with pytest.raises(ArchitectureError, match=r"architecture\.json"):
        load_architecture(path, 16)
    with pytest.raises(ArchitectureError, match="unknown preset 'huge'"):
        load_architecture("huge", 16)
    with pytest.raises(ArchitectureError, match="multiples of the stride, 16"):
        load_architecture("efficientpose_a@100", 16)


def test_what_cannot_be_trained_is_refused_with_a_reason(tmp_path: Path) -> None:
    def attempt(names: list[str], arch: Architecture, config: TrainConfig = CONFIG) -> None:
        retrain(names, kind="pose", architecture=arch, config=config, out=tmp_path)

    with pytest.raises(TrainingError, match="one object, not for 2"):
        attempt(["spot", "spot"], POSE)
    with pytest.raises(TrainingError, match="square"):
        attempt(["spot"], replace(POSE, input_size=(64, 96)))
    for outputs in (3, 17):
        with pytest.raises(TrainingError, match="16 keypoints; 4 to 16 of them can be found"):
            attempt(["spot"], replace(POSE, head=replace(POSE.head, outputs=outputs)))
    with pytest.raises(TrainingError, match="seed"):
        attempt(["spot"], POSE, replace(CONFIG, seed=VALIDATION_SEED))
    with pytest.raises(TrainingError, match="a locator is trained on renders"):
        retrain(
            ["5"], kind="locator", architecture=LOCATOR, config=CONFIG, out=tmp_path, data="bop:/a"
        )
    with pytest.raises(DatasetError, match="give bop:PATH"):
        retrain(["5"], kind="pose", architecture=POSE, config=CONFIG, out=tmp_path, data="/a")
    assert not list(tmp_path.iterdir())
