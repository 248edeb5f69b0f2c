# SPDX-License-Identifier: Apache-2.0
"""Judging a bundle on a dataset and on rendered frames."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from fpg_pose_ros.bundle import read_bundle
from fpg_pose_ros.errors import DatasetError
from fpg_pose_ros.geometry import make_transform
from offline_search.data.bop import BopDataset
from offline_search.data.bop_results import BopResult, read_results
from offline_search.data.create import create_object
from offline_search.evaluate import evaluate
from offline_search.evaluate_bop import named_objects, object_ids, score_bop
from offline_search.evaluation import EvaluationError, format_table

sys.path.insert(0, str(Path(__file__).parent))
from cube_dataset import (
    OBJECT,
    SCENE,
    write_cube_bundle,
    write_cube_dataset,
    write_cube_linemod,
    write_cube_speedplus,
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cube_dataset(
        tmp_path_factory.mktemp("bop") / "cubes", images=8, hidden=2, depth=True
    )


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cube_bundle(tmp_path_factory.mktemp("bundle") / "cube")


def test_a_bundle_is_judged_on_a_dataset(
    dataset: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The estimator finds the cube wherever it shows; in two of ten pictures it does not."""
    evaluation = evaluate(
        bundle,
        data=f"bop:{dataset}",
        objects=f"cube={OBJECT}",
        json_out=tmp_path / "scores.json",
        results_out=tmp_path / "cubes.csv",
        gallery=tmp_path / "gallery",
    )
    scores = evaluation.objects["cube"]
    assert evaluation.images == scores.targets == 10
    assert scores.misses == 2
    assert scores.add01 == 0.8
    assert 0.7 < scores.mssd_ar <= 0.8
    assert 0.7 < scores.mspd_ar <= 0.8
    assert 0.6 < scores.vsd_ar <= 0.8
    assert scores.ar == pytest.approx((scores.vsd_ar + scores.mssd_ar + scores.mspd_ar) / 3)
    assert scores.translation_mm_median < 3
    assert scores.rotation_deg_median < 1
    assert 0 < evaluation.ms_p50 <= evaluation.ms_p99

    printed = capsys.readouterr().out
    page = tmp_path / "gallery" / "index.html"
    assert printed.strip() == f"{format_table(evaluation)}\ngallery: {page}"
    assert "0.800" in printed
    assert "8 of 10 poses right" in page.read_text()
    # One crop for each of the eight cubes that are found.
    locator = evaluation.macs_locator
    assert evaluation.macs_image == pytest.approx(locator + 0.8 * evaluation.macs_pose["cube"])
    assert "cube: 8 of 8 poses right" in printed
    assert evaluation.trust["cube"].poses == 8
    written = json.loads((tmp_path / "scores.json").read_text())
    assert written["objects"]["cube"]["add01"] == 0.8
    assert written["macs_pose"] == {"cube": 1_000_000}
    assert written["trust"]["cube"]["nees_dof"] == 6

    rescored = score_bop(
        BopDataset(dataset), BopDataset(dataset).targets(), read_results(tmp_path / "cubes.csv")
    )
    assert asdict(rescored[OBJECT]) == pytest.approx(asdict(scores), rel=1e-6)


def test_where_there_is_nothing_to_judge_one_error_says_so(
    dataset: Path, bundle: Path, tmp_path: Path
) -> None:
    with pytest.raises(EvaluationError, match=r"nothing to judge, no target is one of cube=9: "):
        evaluate(bundle, data=f"bop:{dataset}", objects="cube=9")
    with pytest.raises(EvaluationError, match=r"nothing to judge, no target is one of no objects"):
        evaluate(bundle, data=f"bop:{dataset}", objects="")
    empty = write_cube_speedplus(tmp_path / "plus", "lightbox", images=0)
    with pytest.raises((EvaluationError, DatasetError)):
        evaluate(bundle, data=f"speed:{empty}", split="lightbox")
    # A target file may ask for what no image shows.
    targets = tmp_path / "targets.json"
    asked = [{"im_id": 5, "inst_count": 1, "obj_id": OBJECT, "scene_id": SCENE}]
    targets.write_text(json.dumps(asked))
    bare = write_cube_dataset(tmp_path / "bare", images=1)
    (bare / "test" / f"{SCENE:06d}" / "scene_gt.json").write_text('{"5": []}')
    with pytest.raises(EvaluationError, match=r"bare/test: there is nothing to judge, none of its"):
        evaluate(bundle, data=f"bop:{bare}", objects=f"cube={OBJECT}", targets=targets)


def test_the_best_scored_of_several_estimates_is_judged(dataset: Path) -> None:
    opened = BopDataset(dataset)
    (target, *_) = opened.targets()
    truth = opened.scene(SCENE).image(target.image_id).truth(OBJECT, 1)[0]
    wrong = make_transform(np.eye(3), [0.5, 0, 1.0])
    found = [
        BopResult(SCENE, target.image_id, OBJECT, 0.4, wrong),
        BopResult(SCENE, target.image_id, OBJECT, 0.9, truth),
        BopResult(SCENE, target.image_id, 77, 1.0, wrong),
    ]
    assert score_bop(opened, [target], found)[OBJECT].add01 == 1
    assert score_bop(opened, [target], found[:1])[OBJECT].add01 == 0


def test_a_bundle_is_judged_on_rendered_frames(bundle: Path, tmp_path: Path) -> None:
    """An object that looks like nothing the bundle knows is judged all the same."""
    mesh = tmp_path / "cube.ply"
    source = write_cube_dataset(tmp_path / "cubes", images=1) / "models_eval" / "obj_000003.ply"
    mesh.write_bytes(source.read_bytes())
    create_object(mesh, units="mm", name="cube", out=tmp_path / "objects")
    evaluation = evaluate(
        bundle,
        rendered=str(tmp_path / "objects" / "cube.yaml"),
        frames=3,
        json_out=tmp_path / "scores.json",
    )
    assert evaluation.images == evaluation.objects["cube"].targets == 3
    written = json.loads((tmp_path / "scores.json").read_text())
    assert written["data"] == "3 rendered frames of cube, seed 1"
    if evaluation.objects["cube"].misses == 3:
        assert written["objects"]["cube"]["rotation_deg_median"] is None


def test_objects_are_named_by_number_or_by_name_and_number() -> None:
    assert named_objects("can=5, driller=8,9") == {5: "can", 8: "driller", 9: "obj_000009"}
    with pytest.raises(EvaluationError, match="'can' is neither a number nor NAME=NUMBER"):
        named_objects("can")


def test_objects_of_a_bundle_that_bear_bop_names_need_not_be_named(
    bundle: Path, tmp_path: Path
) -> None:
    by_file_name = read_bundle(write_cube_bundle(tmp_path / "b", name="obj_000003"))
    assert object_ids(None, by_file_name) == {3: "obj_000003"}
    with pytest.raises(EvaluationError, match="as --objects cube=5"):
        object_ids(None, read_bundle(bundle))
    with pytest.raises(EvaluationError, match="has no can; it holds cube"):
        object_ids("can=5", read_bundle(bundle))


def test_what_to_judge_on_must_be_clear(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"give bop:PATH, .* linemod:PATH, .* speed:PATH"):
        evaluate(bundle, data="/somewhere")
    with pytest.raises(EvaluationError, match=r"give either --data bop:PATH, .* or --object NAME"):
        evaluate(bundle)
    with pytest.raises(EvaluationError, match="--results is BOP's table"):
        evaluate(bundle, rendered="spot", results_out=tmp_path / "results.csv")
    with pytest.raises(DatasetError, match="does not exist"):
        evaluate(bundle, data=f"bop:{tmp_path / 'nowhere'}", objects="cube=3")


@pytest.mark.parametrize("domain", ["synthetic", "lightbox"])
def test_a_bundle_is_judged_on_speedplus(bundle: Path, tmp_path: Path, domain: str) -> None:
    """Two pictures show the cube, one shows nothing: that one counts as the worst of poses."""
    root = write_cube_speedplus(tmp_path / "plus", domain, images=2, hidden=1)
    evaluation = evaluate(bundle, data=f"speed:{root}", split=domain)
    figures = evaluation.speed["cube"]
    assert (figures.images, figures.misses) == (3, 1)
    assert figures.rotation_deg < 1
    assert 0 < figures.translation < 0.01
    worst = (1 + math.pi) / 3
    assert worst < figures.score_testbed <= figures.score < worst + 0.02
    assert "cube: SPEED score" in format_table(evaluation)


def test_what_is_missing_of_speedplus_is_named(bundle: Path, tmp_path: Path) -> None:
    root = write_cube_speedplus(tmp_path / "plus", "lightbox", images=1)
    with pytest.raises(DatasetError, match=r"sunlamp does not exist; unpack SPEED\+'s sunlamp"):
        evaluate(bundle, data=f"speed:{root}", split="sunlamp")
    with pytest.raises(DatasetError, match=r"holds neither train\.json .*purl\.stanford\.edu"):
        evaluate(bundle, data=f"speed:{root}")
    with pytest.raises(DatasetError, match="--split night: SPEED"):
        evaluate(bundle, data=f"speed:{root}", split="night")
    with pytest.raises(EvaluationError, match="has no tango"):
        evaluate(bundle, data=f"speed:{root}", objects="tango")


def test_a_bundle_is_judged_on_linemod(dataset: Path, bundle: Path, tmp_path: Path) -> None:
    root = write_cube_linemod(tmp_path / "Linemod_preprocessed", dataset, test=3)
    evaluation = evaluate(bundle, data=f"linemod:{root}", objects=f"cube={OBJECT}")
    assert evaluation.data == "Linemod_preprocessed/test"
    assert evaluation.objects["cube"].add01 == 1
    assert evaluation.objects["cube"].vsd_ar > 0.7
