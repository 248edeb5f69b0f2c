# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from drawn_world import CORNERS, DrawnPoses, tetrahedron

from fpg_pose_ros.geometry import Symmetries, exp_so3, make_transform
from offline_search.space import Architecture, Head, Stage
from offline_search.training.pose_labels import symmetric_labels
from offline_search.training.pose_validation import Prediction, choose_decoding, judge

SIGMA_PX = 5.0
STAGES = tuple(Stage(8, 2, (("sep_k3",),)) for _ in range(2))
NETWORK = Architecture((128, 128), 4, 4, STAGES, Head("heatmap", (8,), len(CORNERS)))
SAMPLES = DrawnPoses(3, resolution=128, side=200.0)
HALF_TURN = make_transform(exp_so3(np.array([0.0, 0.0, np.pi])), np.zeros(3))


def prediction(index: int, noise_px: float, symmetric: bool = False) -> Prediction:
    """What a network would give that errs by `noise_px`; a symmetric one sees the other pose."""
    sample = SAMPLES[index]
    model = tetrahedron(Symmetries(discrete=(HALF_TURN,)) if symmetric else None)
    labels = symmetric_labels(sample, model, model.symmetries.transforms())
    rng = np.random.default_rng(index)
    seen = labels[-1] + rng.normal(size=(len(CORNERS), 2)) * noise_px
    height, width = NETWORK.map_size
    stride = NETWORK.output_stride
    x = (np.arange(width) + 0.5) * stride - 0.5
    y = (np.arange(height) + 0.5) * stride - 0.5
    logits = -0.5 * (
        (x[None, None] - seen[:, 0, None, None]) ** 2
        + (y[None, :, None] - seen[:, 1, None, None]) ** 2
    )
    maps = (logits / SIGMA_PX**2).astype(np.float32)
    return Prediction((maps,), labels, sample.T_camera_object, sample.K, sample.A)


def predictions(noise_px: float, count: int = 40, symmetric: bool = False) -> list[Prediction]:
    return [prediction(index, noise_px, symmetric) for index in range(count)]


def extra(**changes: float) -> dict[str, float]:
    return {"sigma_px": SIGMA_PX, "window_px": 20.0, **changes}


def test_perfect_maps_give_perfect_poses() -> None:
    figures = judge(predictions(0.0), tetrahedron(), NETWORK, extra())
    assert figures["add01"] == figures["adds01"] == figures["solved"] == 1.0
    assert figures["rotation_deg"] < 1.0
    assert figures["depth_percent"] < 1.0
    assert figures["keypoint_px"] < 0.2


def test_figures_fall_with_the_error_of_the_maps() -> None:
    figures = [judge(predictions(px), tetrahedron(), NETWORK, extra()) for px in (0.2, 1.0, 5.0)]
    areas = [f["add_auc"] for f in figures]
    assert areas[0] > areas[1] > areas[2]
    assert figures[0]["rotation_deg"] < figures[1]["rotation_deg"] < figures[2]["rotation_deg"]
    assert figures[1]["keypoint_px"] == pytest.approx(1.0 * 1.18, rel=0.2)  # Rayleigh's median


def test_a_symmetric_object_is_judged_up_to_its_symmetry() -> None:
    model = tetrahedron(Symmetries(discrete=(HALF_TURN,)))
    figures = judge(predictions(0.0, symmetric=True), model, NETWORK, extra())
    assert figures["rotation_deg"] < 1.0
    assert figures["keypoint_px"] < 0.2


def test_labels_of_symmetric_poses_are_projections_of_turned_objects() -> None:
    sample, model = SAMPLES[0], tetrahedron(Symmetries(discrete=(HALF_TURN,)))
    labels = symmetric_labels(sample, model, model.symmetries.transforms())
    assert labels.shape == (2, 5, 2)
    assert np.array_equal(labels[0], sample.keypoints)
    # half a turn about z swaps corners 0 with 3's mirror only in x and y: point 4 is on the axis
    assert np.allclose(labels[1][4], labels[0][4], atol=1e-9)
    assert not np.allclose(labels[1][0], labels[0][0], atol=0.5)


@pytest.mark.parametrize("noise_px", [1.0, 2.0])
def test_chosen_covariances_cover_the_errors_that_occur(noise_px: float) -> None:
    chosen = choose_decoding(predictions(noise_px, 80), tetrahedron(), NETWORK, SIGMA_PX)
    floor_px = 0.5
    # maps of one width: the covariance is the floor, so the scale tells the true variance
    assert chosen["covariance_scale"] * floor_px**2 == pytest.approx(noise_px**2, rel=0.35)
    # errors here are independent, as the solver believes
    assert 0.5 < chosen["pose_covariance_scale"] < 2.0
    assert chosen["sigma_px"] == SIGMA_PX


def test_the_chosen_decoding_is_no_worse_than_any_other() -> None:
    model = tetrahedron()
    seen = predictions(1.0, 40)
    chosen = choose_decoding(seen, model, NETWORK, SIGMA_PX)
    best = judge(seen, model, NETWORK, chosen)["add_auc"]
    for window in (6.0, 20.0):
        other = judge(seen, model, NETWORK, {**chosen, "window_px": window})["add_auc"]
        assert best >= other - 0.02


def collapsed() -> list[Prediction]:
    one = prediction(0, 0.0)
    maps = np.broadcast_to(one.logits[0][:1], one.logits[0].shape)
    return [Prediction((maps,), one.labels, one.T_camera_object, one.K, one.A)]


def test_a_frame_without_a_pose_counts_as_a_failure() -> None:
    figures = judge(collapsed() + predictions(0.0, 3), tetrahedron(), NETWORK, extra())
    assert figures["add01"] == 0.75
    assert figures["solved"] == 0.75
    only = judge(collapsed(), tetrahedron(), NETWORK, extra())
    assert only["add01"] == 0.0
