# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from fpg_pose_ros.decode import DecodeError, DecodeParameters, decode_heatmap, decode_simcc

STRIDE, CELLS, SIGMA = 4, 32, 5.0
CENTRES = (np.arange(CELLS) + 0.5) * STRIDE - 0.5
TRUE = np.random.default_rng(0).uniform(22, 106, (16, 2))


def gaussian_logits(true: np.ndarray, sigma: float = SIGMA) -> np.ndarray:
    dx = CENTRES[None, None, :] - true[:, 0, None, None]
    dy = CENTRES[None, :, None] - true[:, 1, None, None]
    return (-(dx**2 + dy**2) / (2 * sigma**2)).astype(np.float32)


def test_the_peak_of_a_gaussian_map_is_found_to_a_fraction_of_a_cell():
    seen = decode_heatmap(gaussian_logits(TRUE), STRIDE, DecodeParameters(window_px=20))
    np.testing.assert_allclose(seen.pixels, TRUE, atol=0.02)
    assert seen.confidence.min() > 0.999


def test_a_cell_centre_is_where_the_contract_has_it():
    logits = np.full((1, 8, 10), -50.0, np.float32)
    logits[0, 2, 7] = 0
    seen = decode_heatmap(logits, 4)
    np.testing.assert_allclose(seen.pixels, [[7.5 * 4 - 0.5, 2.5 * 4 - 0.5]])


def test_constants_added_to_the_logits_change_nothing():
    low = decode_heatmap(gaussian_logits(TRUE) - 500, STRIDE)
    high = decode_heatmap(gaussian_logits(TRUE) + 500, STRIDE)
    np.testing.assert_allclose(low.pixels, high.pixels, atol=1e-3)
    np.testing.assert_allclose(low.covariances, high.covariances, rtol=1e-3)


def test_the_spread_less_that_of_the_target_is_the_covariance():
    wide = np.hypot(SIGMA, 6.0)
    seen = decode_heatmap(
        gaussian_logits(TRUE, wide), STRIDE, DecodeParameters(window_px=60, sigma_px=SIGMA)
    )
    np.testing.assert_allclose(
        np.mean(seen.covariances, axis=0), np.diag([36.0, 36.0]), rtol=0.08, atol=2.0
    )


def test_a_slanted_map_gives_a_slanted_covariance():
    cov = np.array([[60.0, 30.0], [30.0, 40.0]])
    d = np.stack(np.meshgrid(CENTRES - 60, CENTRES - 66), -1)
    logits = -0.5 * np.einsum("hwi,ij,hwj->hw", d, np.linalg.inv(cov), d)
    seen = decode_heatmap(logits[None].astype(np.float32), STRIDE, DecodeParameters(window_px=60))
    np.testing.assert_allclose(seen.pixels, [[60, 66]], atol=0.02)
    np.testing.assert_allclose(seen.covariances[0], cov, rtol=0.03)


def test_covariances_have_their_floor_and_scale_and_stay_positive_definite():
    rng = np.random.default_rng(1)
    logits = rng.normal(scale=4, size=(200, 12, 9)).astype(np.float32)
    parameters = DecodeParameters(sigma_px=50.0, covariance_floor_px=0.7, covariance_scale=3.0)
    seen = decode_heatmap(logits, STRIDE, parameters)
    values = np.linalg.eigvalsh(seen.covariances)
    assert values.min() > 0
    diagonal = np.diagonal(seen.covariances, axis1=1, axis2=2)
    np.testing.assert_allclose(
        diagonal, np.repeat(3 * 0.49 / seen.confidence[:, None], 2, axis=1), rtol=1e-6
    )


def test_a_second_peak_elsewhere_lowers_confidence_and_does_not_pull():
    logits = np.logaddexp(
        gaussian_logits(np.array([[30.0, 30.0]])), gaussian_logits(np.array([[100.0, 90.0]])) - 0.5
    )
    seen = decode_heatmap(logits, STRIDE, DecodeParameters(window_px=16))
    np.testing.assert_allclose(seen.pixels, [[30, 30]], atol=0.1)
    assert seen.confidence[0] == pytest.approx(1 / (1 + np.exp(-0.5)), abs=0.01)
    alone = decode_heatmap(gaussian_logits(np.array([[30.0, 30.0]])), STRIDE)
    assert seen.covariances[0, 0, 0] > 1.5 * alone.covariances[0, 0, 0]


def test_peaks_on_the_maps_border_stay_in_the_map():
    corners = np.array([[0, 0], [0, 7], [5, 0], [5, 7]])
    logits = np.zeros((4, 6, 8), np.float32)
    logits[np.arange(4), corners[:, 0], corners[:, 1]] = 30
    seen = decode_heatmap(logits, 2)
    np.testing.assert_allclose(seen.pixels, corners[:, ::-1] * 2 + 0.5, atol=1e-6)


def test_temperature_widens():
    cold = decode_heatmap(gaussian_logits(TRUE), STRIDE, DecodeParameters(window_px=60))
    hot = decode_heatmap(
        gaussian_logits(TRUE), STRIDE, DecodeParameters(window_px=60, temperature=2.0)
    )
    ratio = hot.covariances[:, 0, 0] / cold.covariances[:, 0, 0]
    assert np.median(ratio) == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("bins_per_pixel", [1.0, 2.0])
def test_coordinate_bins_are_decoded_like_maps(bins_per_pixel):
    bins = (np.arange(round(128 * bins_per_pixel)) + 0.5) / bins_per_pixel - 0.5
    x = (-((bins - TRUE[:, :1]) ** 2) / 32).astype(np.float32)
    y = (-((bins - TRUE[:, 1:]) ** 2) / 18).astype(np.float32)
    seen = decode_simcc(x, y, bins_per_pixel, DecodeParameters(window_px=20, sigma_px=2.0))
    np.testing.assert_allclose(seen.pixels, TRUE, atol=0.01)
    expected = np.tile(np.diag([16.0 - 4, 9.0 - 4]), (16, 1, 1))
    np.testing.assert_allclose(seen.covariances, expected, rtol=0.01, atol=1e-9)
    assert seen.confidence.min() > 0.999


def test_parameters_come_from_the_bundles_extra_and_are_checked():
    extra = {"window_px": 8, "stride": 4, "crop_margin": 1.2}
    assert DecodeParameters.from_extra(extra) == DecodeParameters(window_px=8.0)
    for name in ("window_px", "temperature", "covariance_floor_px", "covariance_scale"):
        with pytest.raises(DecodeError, match=name):
            DecodeParameters.from_extra({name: 0.0})
    with pytest.raises(DecodeError, match="sigma_px"):
        DecodeParameters(sigma_px=float("nan"))
