# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from offline_search.data import variety
from offline_search.data.appearance import random_lighting, random_material
from offline_search.data.environment import Environment, random_environment
from offline_search.data.scene import Light

UP = np.array([0.0, -1.0, 0.0])


def test_light_from_everywhere_lights_all_sides_alike() -> None:
    everywhere = Environment(np.full((32, 64, 3), 0.7, dtype=np.float32), np.eye(3))
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(50, 3)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    assert_allclose(everywhere.diffuse(directions), 0.7, atol=0.01)
    for sharpness in (2, 8):
        assert_allclose(everywhere.mirrored(directions, sharpness), 0.7, atol=0.01)


def test_a_panorama_is_where_its_frame_says() -> None:
    radiance = np.zeros((32, 64, 3), dtype=np.float32)
    radiance[:4] = 1.0  # a lamp overhead
    made = Environment(radiance, np.array([[1, 0, 0], [0, 0, -1], [0, -1, 0]], dtype=np.float64))
    up, down = UP[None].astype(np.float32), -UP[None].astype(np.float32)
    assert made.diffuse(up)[0, 0] > 5 * made.diffuse(down)[0, 0] + 0.05
    assert made.mirrored(up, 8)[0, 0] > 0.9
    assert made.mirrored(down, 8)[0, 0] < 0.01


def test_diffuse_light_is_the_integral_over_the_panorama() -> None:
    made = random_environment(np.random.default_rng(4), UP)
    polar = (np.arange(32) + 0.5) * np.pi / 32
    azimuth = (np.arange(64) + 0.5) * np.pi / 32
    sine, cosine = np.sin(polar)[:, None], np.cos(polar)[:, None] + 0 * azimuth
    directions = np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine], axis=-1)
    for normal in np.eye(3):
        facing = np.maximum(directions @ (made.R_world_camera @ normal), 0)
        weight = facing * sine * (np.pi / 32) ** 2 / np.pi
        exact = (made.radiance * weight[..., None]).sum(axis=(0, 1))
        assert_allclose(made.diffuse(normal[None].astype(np.float32))[0], exact, rtol=0.12)


def test_lighting_is_exposed_and_lamps_are_above() -> None:
    rng = np.random.default_rng(0)
    counts = set()
    for _ in range(60):
        lighting = random_lighting(rng, UP)
        counts.add(len(lighting.lights))
        total = float(lighting.environment.diffuse(UP[None].astype(np.float32)).mean())
        total += sum(float(light.color.mean()) for light in lighting.lights)
        assert variety.EXPOSED[0] - 1e-3 <= total <= variety.EXPOSED[1] + 1e-3
        for light in lighting.lights:
            assert np.linalg.norm(light.direction) == pytest.approx(1.0)
            assert light.direction @ UP > 0.2
    assert counts == {0, 1, 2}


def test_materials_are_of_all_kinds_and_possible() -> None:
    rng = np.random.default_rng(0)
    made = [random_material(rng) for _ in range(300)]
    assert 0.2 < np.mean([m.specular == 0 for m in made]) < 0.4
    assert 0.04 < np.mean([m.metallic > 0 for m in made]) < 0.2
    assert all(min(m.tint) > 0.4 and max(m.tint) < 1.8 for m in made)
    guessed = [random_material(rng, plain=True) for _ in range(200)]
    albedos = np.array([m.tint for m in guessed]) * 0.4
    assert albedos.max() <= 0.851
    assert albedos.max(axis=1).min() < 0.06
    assert np.ptp(albedos, axis=1).max() > 0.3, "some are vivid"


def test_a_large_light_is_spread_evenly_about_its_direction() -> None:
    rays = Light(np.array([0.0, 0.6, -0.8]), np.ones(3), radius=0.2).rays()
    assert_allclose(np.linalg.norm(rays, axis=1), 1.0)
    assert_allclose(rays.mean(axis=0) / np.linalg.norm(rays.mean(axis=0)), [0, 0.6, -0.8])
    assert (np.arccos(rays @ [0.0, 0.6, -0.8]) < 0.2).all()
