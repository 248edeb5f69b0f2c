# SPDX-License-Identifier: Apache-2.0
"""Random materials and light for training pictures; the ranges are those of `variety`."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fpg_pose_ros.geometry import Array
from offline_search.data import variety
from offline_search.data.environment import Environment, light_color, random_environment
from offline_search.data.scene import Light, Material
from offline_search.data.shading import PLAIN


@dataclass(frozen=True, eq=False)
class Lighting:
    """Lamps, and the light from all around."""

    lights: tuple[Light, ...]
    environment: Environment


def log_uniform(rng: np.random.Generator, limits: variety.Range) -> float:
    """Returns a number whose logarithm is evenly drawn."""
    return float(np.exp(rng.uniform(*np.log(limits))))


def random_material(rng: np.random.Generator, *, plain: bool = False) -> Material:
    """Returns a finish: matt, plastic-like or metal, with the colour a little off.

    Args:
        rng: source of randomness.
        plain: the mesh has no colours of its own: one is guessed.
    """
    if plain:
        vivid = rng.random() < variety.GUESSED_VIVID_CHANCE
        cast = variety.GUESSED_VIVID if vivid else variety.GUESSED_CAST
        factors = 1.0 - rng.uniform(0.0, cast, 3)
        tint = log_uniform(rng, variety.GUESSED_ALBEDO) / PLAIN * factors / factors.max()
    else:
        far = rng.random() < variety.FAR_CAST_CHANCE
        cast = variety.FAR_CAST if far else variety.COLOR_CAST
        tint = log_uniform(rng, variety.COLOR_GAIN) * (1.0 + rng.uniform(-cast, cast, 3))
    made = Material(
        tint=(float(tint[0]), float(tint[1]), float(tint[2])),
        contrast=1.0 if plain else log_uniform(rng, variety.COLOR_CONTRAST),
        specular=float(rng.uniform(*variety.SPECULAR)),
        sharpness=int(rng.integers(variety.SHARPNESS[0], variety.SHARPNESS[1] + 1)),
    )
    kind = rng.random()
    if kind < variety.MATT_CHANCE:
        return replace(made, specular=0.0)
    if kind > 1.0 - variety.METAL_CHANCE:
        return replace(made, metallic=float(rng.uniform(*variety.METALLIC)))
    return made


def random_lighting(rng: np.random.Generator, up: Array) -> Lighting:
    """Returns a room's light, as a camera that exposes by itself makes of it.

    Args:
        rng: source of randomness.
        up: (3,) unit vector upwards, camera frame: lamps are above.
    """
    environment = random_environment(rng, up)
    side = np.cross(up, np.eye(3)[np.argmin(np.abs(up))])
    side /= np.linalg.norm(side)
    lights = []
    for _ in range(int(rng.choice(len(variety.LAMPS), p=variety.LAMPS))):
        elevation = np.radians(rng.uniform(*variety.LAMP_ELEVATION_DEG))
        azimuth = rng.uniform(-np.pi, np.pi)
        level = np.cos(azimuth) * side + np.sin(azimuth) * np.cross(up, side)
        lights.append(
            Light(
                np.sin(elevation) * up + np.cos(elevation) * level,
                log_uniform(rng, variety.LAMP) * light_color(rng),
                radius=log_uniform(rng, variety.LAMP_RADIUS),
            )
        )
    around = float(environment.diffuse(up[None].astype(np.float32)).mean())
    total = around + sum(float(light.color.mean()) for light in lights)
    gain = log_uniform(rng, variety.EXPOSED) / total
    return Lighting(
        tuple(replace(light, color=light.color * gain) for light in lights),
        environment.brighter(gain),
    )
