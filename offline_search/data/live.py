# SPDX-License-Identifier: Apache-2.0
"""A moving object before a camera, rendered as it goes: frames with exact ground truth.

Unlike the pictures of training this is one scene in three dimensions: an object that wanders and
tumbles over a floor, things that lie about, one that passes before it now and then, shadows of
all on all, and a camera that is never quite still. The same seed gives the same frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.errors import CameraError, DatasetError
from fpg_pose_ros.geometry import Array, Camera, exp_so3, make_transform
from fpg_pose_ros.sources import Frame
from offline_search.data.backdrop import Plane, Room
from offline_search.data.clutter import random_thing
from offline_search.data.effects import add_noise
from offline_search.data.meshes import TexturedMesh
from offline_search.data.motion import CameraSway, ObjectPath, Wander
from offline_search.data.objects import RenderableObject
from offline_search.data.renderer import EmbreeRenderer
from offline_search.data.scene import Instance, Light, Material, Scene
from offline_search.data.stacking import lay_over_parts
from offline_search.data.views import look_along, random_direction, random_rotation

_BLUR: Final = 0.6  # px: a lens is never as sharp as a ray
_NOISE: Final = 2.0  # grey levels
_WHOLE: Final = np.eye(3)[:2]


def default_camera() -> Camera:
    """Returns a 640x480 camera with a field of view of 56 degrees."""
    return Camera(640, 480, np.array([[600.0, 0.0, 319.5], [0.0, 600.0, 239.5], [0.0, 0.0, 1.0]]))


class LiveScene:
    """An iterable of frames of one object in motion; any may be asked for by its number as well."""

    def __init__(
        self,
        thing: RenderableObject,
        *,
        seed: int,
        camera: Camera | None = None,
        fps: float = 30.0,
        duration: float = 30.0,
        distractors: int = 4,
        samples: int = 1,
    ) -> None:
        """Sets the scene; renders nothing yet.

        Args:
            thing: the object.
            seed: of everything.
            camera: without lens distortion; `default_camera` by default.
            fps: frames a second of the scene's time.
            duration: of the scene, s.
            distractors: how many other things; the first passes before the object at times.
            samples: rays along each side of a pixel at edges; 1 is fastest.

        Raises:
            CameraError: the camera has a lens distortion.
            DatasetError: a value is out of range.
        """
        camera = camera or default_camera()
        if camera.distorts:
            raise CameraError(
                "a live scene is rendered by a pinhole; give a camera without distortion"
            )
        if not (fps > 0 and duration > 0 and distractors >= 0):
            raise DatasetError("a live scene needs fps > 0, duration > 0 and distractors >= 0")
        self.thing, self.camera, self.fps, self.duration = thing, camera, fps, duration
        self.seed, self._samples = seed, samples
        self._renderer = EmbreeRenderer()
        rng = np.random.default_rng(np.random.SeedSequence((seed, 0x11FE)))
        size = (camera.width, camera.height)
        self._path = ObjectPath(rng, thing.views, camera.K, size, thing.model.diameter)
        self._sway = CameraSway(rng)
        self._material = Material(
            specular=float(rng.uniform(0.0, 0.08)), sharpness=int(rng.integers(3, 6))
        )
        self._pitch = np.radians(rng.uniform(25.0, 45.0))
        self._up = np.array([0.0, -np.cos(self._pitch), -np.sin(self._pitch)])
        self._drop = self._floor_depth()
        self._room = self._make_room(rng)
        self._lights, self._ambient = self._make_lights(rng)
        self._things = [
            (random_thing(rng, thing.model.diameter * size), _random_material(rng))
            for size in rng.uniform(0.6, 1.5, distractors)
        ]
        self._passing = (Wander.random(rng, 6.0), Wander.random(rng, 8.0), random_rotation(rng))
        self._lying = [
            make_transform(random_rotation(rng), self._on_floor(rng, mesh))
            for mesh, _ in self._things[1:]
        ]

    def _floor_depth(self) -> float:
        """Returns how far below the camera the floor must be for the object to stay above it, m."""
        times = np.arange(0.0, max(self.duration, 60.0), 0.1)
        lowest = max(float(-self._up @ self._path.at(time)[:3, 3]) for time in times.tolist())
        return lowest + 0.6 * self.thing.model.diameter

    def _make_room(self, rng: np.random.Generator) -> Room:
        forward = np.array([0.0, -np.sin(self._pitch), np.cos(self._pitch)])
        turn = exp_so3(self._up * rng.uniform(-0.5, 0.5))
        right = turn @ np.array([1.0, 0.0, 0.0])
        floor_at = self._drop * (-self._up + forward / np.tan(self._pitch))
        floor = make_transform(
            np.stack([right, np.cross(self._up, right), self._up], axis=1), floor_at
        )
        facing = -(turn @ forward)
        far = floor_at + forward * rng.uniform(0.8, 2.0) * self._drop
        wall = make_transform(np.stack([np.cross(self._up, facing), self._up, facing], axis=1), far)
        return Room(
            Plane.random(rng, floor, rng.uniform(0.8, 2.0)),
            Plane.random(rng, wall, rng.uniform(1.0, 3.0)),
        )

    def _make_lights(self, rng: np.random.Generator) -> tuple[tuple[Light, ...], Array]:
        """Returns lights from above, the first of which casts shadows, and the ambient light."""
        lights, ambient = _random_lights(rng)
        moved: list[Light] = []
        for light in lights:
            aside = np.cross(self._up, rng.normal(size=3))
            direction = self._up + rng.uniform(0.2, 0.9) * aside / np.linalg.norm(aside)
            direction += np.array([0.0, 0.0, -0.3])
            direction /= np.linalg.norm(direction)
            moved.append(Light(direction, light.color, shadow=not moved))
        return tuple(moved), np.maximum(ambient, 0.2)

    def _on_floor(self, rng: np.random.Generator, mesh: TexturedMesh) -> Array:
        """Returns a place (3,) on the floor that the camera sees."""
        pixel = rng.uniform(0.1, 0.9, 2) * (self.camera.width, self.camera.height)
        ray = np.linalg.inv(self.camera.K) @ np.append(pixel, 1.0)
        height = 0.35 * float(np.ptp(mesh.vertices, axis=0).max())
        along = ray @ self._up
        reach = (self._drop - height) / max(-along, 0.2)
        return np.asarray(ray * min(reach, 3.0 * self._drop), dtype=np.float64)

    def __len__(self) -> int:
        """Returns the number of frames."""
        return max(1, round(self.duration * self.fps))

    def __iter__(self) -> Iterator[Frame]:
        """Yields all frames in order."""
        return (self.frame(number) for number in range(len(self)))

    def scene(self, time: float) -> tuple[Scene, Array]:
        """Returns what there is at a time (s) and T_camera_rest; the object is number 1."""
        T_camera_rest = self._sway.at(time)
        turn = T_camera_rest[:3, :3]
        pose = self._path.at(time)
        instances = [Instance(self.thing.mesh, T_camera_rest @ pose, self._material, 1)]
        for number, (mesh, material) in enumerate(self._things):
            T = self._passing_pose(time, pose) if number == 0 else self._lying[number - 1]
            instances.append(Instance(mesh, T_camera_rest @ T, material, number + 2))
        lights = tuple(Light(turn @ light.direction, light.color) for light in self._lights)
        return Scene(tuple(instances), lights, self._ambient, turn @ self._up), T_camera_rest

    def _passing_pose(self, time: float, target: Array) -> Array:
        """Returns where the passing thing is: nearer than the object, swinging to and fro."""
        across, height, rotation = self._passing
        centre = target[:3, 3]
        nearer = centre * 0.72
        reach = 1.6 * self.thing.model.diameter
        offset = reach * np.array([2.0 * across.at(time), 0.8 * height.at(time), 0.0])
        spin = exp_so3(np.array([0.3, 0.8, 0.5]) * time)
        return make_transform(
            look_along(centre / np.linalg.norm(centre)) @ spin @ rotation, nearer + offset
        )

    def frame(self, number: int) -> Frame:
        """Renders frame `number`, 0 to len - 1."""
        if not 0 <= number < len(self):
            raise IndexError(f"frame {number} of {len(self)}")
        size = (self.camera.width, self.camera.height)
        image, _, scene = self.window(number, (0, 0), size)
        return Frame(
            image=image,
            camera=self.camera,
            stamp_ns=round(number / self.fps * 1e9),
            ground_truth={self.thing.model.name: scene.instances[0].T_camera_mesh},
            name=f"{number:06d}",
        )

    def window(
        self, number: int, corner: tuple[int, int], size: tuple[int, int]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Scene]:
        """Renders a part of frame `number`, for a part of a whole frame's time.

        Args:
            number: 0 to len - 1.
            corner: (x, y) of its first pixel in the frame.
            size: (width, height), px.

        Returns:
            The picture (h, w, 3) RGB, the number of what is seen in each pixel (h, w), 0 where it
            is the room, and the scene. The noise differs from that of the whole frame.
        """
        scene, T_camera_rest = self.scene(number / self.fps)
        K = self.camera.K.copy()
        K[:2, 2] -= corner
        image = self._room.picture(self._renderer, scene, T_camera_rest, K, size)
        picture = self._renderer.render(scene, K, _WHOLE, size[::-1], self._samples)
        lay_over_parts(image, picture.rgb, picture.alpha)
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), _BLUR), dtype=np.uint8)
        rng = np.random.default_rng(np.random.SeedSequence((self.seed, number, 0x2015E)))
        return add_noise(rng, image, _NOISE), picture.instance, scene


def _random_lights(rng: np.random.Generator) -> tuple[tuple[Light, ...], Array]:
    """Returns (lights, ambient (2, 3)): one or two lights from the camera's side or above."""
    warmth = rng.uniform(-0.12, 0.12)
    tint = np.array([1.0 + warmth, 1.0, 1.0 - warmth])
    ambient = rng.uniform(0.12, 0.55) * tint * np.array([[1.0], [rng.uniform(0.3, 1.0)]])
    lights = []
    for strength in (rng.uniform(0.35, 1.1), rng.uniform(0.1, 0.5)):
        direction = random_direction(rng)
        direction[2] = -abs(direction[2]) * rng.uniform(0.2, 1.0)  # not from behind the object
        direction /= np.linalg.norm(direction)
        color = strength * tint * (1.0 + rng.uniform(-0.06, 0.06, 3))
        lights.append(Light(direction, color, shadow=rng.random() < 0.8))
    return tuple(lights[: 1 + (rng.random() < 0.4)]), ambient


def _random_material(rng: np.random.Generator) -> Material:
    """Returns a finish from matt to glossy, with the colour a little off."""
    off = 0.25 if rng.random() < 0.25 else 0.08
    red, green, blue = rng.uniform(0.75, 1.15) * (1.0 + rng.uniform(-off, off, 3))
    glossy = rng.random() < 0.6
    return Material(
        tint=(float(red), float(green), float(blue)),
        specular=float(rng.uniform(0.005, 0.08)) if glossy else 0.0,
        sharpness=int(rng.integers(2, 7)),
        metallic=float(rng.uniform(0.0, 0.6)),
    )
