# SPDX-License-Identifier: Apache-2.0
"""Scenes drawn on a GPU: numbers and depths at pixels' centres, shadow maps, colours."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.errors import DatasetError
from fpg_pose_ros.geometry import Array, transform
from offline_search.data.meshes import TexturedMesh, hull_points
from offline_search.data.raster_arrays import (
    columns,
    corner_rows,
    from_light,
    irradiance,
    projection,
    texture_of,
)
from offline_search.data.rasteriser_shaders import (
    CENTRE_FRAGMENT,
    COLOR_FRAGMENT,
    COLOR_VERTEX,
    DEPTH_VERTEX,
    MOST_LAMPS,
    MOST_TILES,
    SHADOW_FRAGMENT,
)
from offline_search.data.scene import Render, Scene
from offline_search.data.shading import Floats

_TILE: Final = 512  # px, side of a shadow map
_LIFT: Final = 1.5  # texels of a shadow map
_ROOM: Final = 1.02  # of a shadow map around the scene


class RasterMesh(NamedTuple):
    """A mesh on the GPU: ways to draw it with each program, its texture, and its hull (H, 3)."""

    color: Any
    centre: Any
    shadow: Any
    texture: Any
    hull: Array


class Rasteriser:
    """The GPU as one process has it: programs, meshes, and surfaces to draw on.

    Attributes:
        driver: what draws, as it calls itself.
    """

    def __init__(self, gl: Any) -> None:
        """Compiles the programs.

        Args:
            gl: a moderngl context.
        """
        self._gl = gl
        self.driver = str(gl.info["GL_RENDERER"])
        self._color = self._gl.program(COLOR_VERTEX, COLOR_FRAGMENT)
        self._centre = self._gl.program(DEPTH_VERTEX, CENTRE_FRAGMENT)
        self._shadow = self._gl.program(DEPTH_VERTEX, SHADOW_FRAGMENT)
        self._meshes: weakref.WeakKeyDictionary[TexturedMesh, RasterMesh] = (
            weakref.WeakKeyDictionary()
        )
        self._black = self._gl.texture((1, 1), 3, bytes(12), dtype="f4")
        self._surface = functools.lru_cache(8)(self._make_surface)
        self._tiles = functools.lru_cache(4)(self._make_tiles)

    def render(
        self, scene: Scene, K: Array, A: Array, shape: tuple[int, int], samples: int
    ) -> Render:
        """See `Renderer.render`."""
        height, width = shape
        meshes = [self._mesh(instance.mesh) for instance in scene.instances]
        bounds = [
            transform(instance.T_camera_mesh, mesh.hull)
            for instance, mesh in zip(scene.instances, meshes, strict=True)
        ]
        clip = projection(K, A, shape, bounds)
        self._gl.enable_only(self._gl.DEPTH_TEST)
        centres = self._draw_centres(scene, meshes, clip, shape)
        self._set_light(scene, meshes, bounds)
        fine = self._draw_colors(scene, meshes, clip, (samples * height, samples * width))
        rgba = fine
        if samples > 1:
            rgba = np.asarray(cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA))
        return Render(
            rgb=np.ascontiguousarray(rgba[..., :3]),
            alpha=np.ascontiguousarray(rgba[..., 3]),
            instance=centres[..., 0].astype(np.uint8),
            depth=np.ascontiguousarray(centres[..., 1]),
        )

    def _draw_centres(
        self, scene: Scene, meshes: Sequence[RasterMesh], clip: Array, shape: tuple[int, int]
    ) -> Floats:
        """Returns number and depth (h, w, 2) at the pixels' centres."""
        surface = self._surface(shape, 2, "f4")
        surface.use()
        surface.clear()
        self._centre["to_clip"].write(columns(clip))
        for instance, mesh in zip(scene.instances, meshes, strict=True):
            self._centre["T_camera_mesh"].write(columns(instance.T_camera_mesh))
            self._centre["number"].value = float(instance.number)
            mesh.centre.render()
        read = surface.read(components=2, dtype="f4")
        return np.frombuffer(read, dtype=np.float32).reshape(*shape, 2)

    def _draw_colors(
        self, scene: Scene, meshes: Sequence[RasterMesh], clip: Array, shape: tuple[int, int]
    ) -> NDArray[np.uint8]:
        """Returns colours (h, w, 4), each of one sample."""
        surface = self._surface(shape, 4, "f1")
        surface.use()
        surface.clear()
        program = self._color
        program["to_clip"].write(columns(clip))
        for instance, mesh in zip(scene.instances, meshes, strict=True):
            material = instance.material
            program["T_camera_mesh"].write(columns(instance.T_camera_mesh))
            program["tint"].value = material.tint
            program["contrast"].value = material.contrast
            program["specular"].value = material.specular
            program["sharpness"].value = float(material.sharpness)
            program["metallic"].value = material.metallic
            program["textured"].value = mesh.texture is not None
            (mesh.texture or self._black).use(0)
            panorama = self._panorama(scene, material.sharpness)
            panorama.use(1)
            mesh.color.render()
            if panorama is not self._black:
                panorama.release()
        read = surface.read(components=4, alignment=1)
        return np.frombuffer(read, dtype=np.uint8).reshape(*shape, 4)

    def _panorama(self, scene: Scene, sharpness: int) -> Any:
        """Returns what surfaces mirror as a texture; a black one where there is nothing."""
        if scene.environment is None:
            return self._black
        seen = np.ascontiguousarray(scene.environment.blurred(sharpness))
        texture = self._gl.texture(seen.shape[1::-1], 3, seen.tobytes(), dtype="f4")
        texture.repeat_y = False
        return texture

    def _set_light(
        self, scene: Scene, meshes: Sequence[RasterMesh], bounds: Sequence[Array]
    ) -> None:
        """Hands lamps, their shadow maps and the light from all around to the colours' program."""
        program = self._color
        environment = scene.environment
        turn = np.eye(3) if environment is None else environment.R_world_camera
        program["irradiance"].write(irradiance(scene).tobytes())
        program["R_world_camera"].write(columns(turn))
        program["mirrored"].value = environment is not None
        casting = [light.rays() if light.shadow else np.zeros((0, 3)) for light in scene.lights]
        rays = np.concatenate([np.zeros((0, 3)), *casting])
        if len(scene.lights) > MOST_LAMPS or len(rays) > MOST_TILES:
            raise DatasetError(
                f"the renderer moderngl takes at most {MOST_LAMPS} lamps, and {MOST_TILES} points "
                "of them that cast shadows; leave some out, or render with embree"
            )
        counts = [len(spots) for spots in casting]
        program["lamps"].value = len(scene.lights)
        program["lamp_direction"].write(_padded([lamp.direction for lamp in scene.lights]))
        program["lamp_color"].write(_padded([lamp.color for lamp in scene.lights]))
        first = np.zeros((2, MOST_LAMPS), dtype=np.int32)
        first[0, : len(counts)] = np.cumsum([0, *counts])[:-1]
        first[1, : len(counts)] = counts
        program["first_tile"].write(first[0].tobytes())
        program["tiles"].write(first[1].tobytes())
        self._cast(scene, meshes, rays, bounds)

    def _cast(
        self, scene: Scene, meshes: Sequence[RasterMesh], rays: Array, bounds: Sequence[Array]
    ) -> None:
        """Draws the scene's depths as seen along each ray (n, 3) into a tile of their own."""
        surface, depths = self._tiles(max(len(rays), 1))
        points = np.concatenate(bounds) if bounds else np.zeros((1, 3))
        centre = (points.min(axis=0) + points.max(axis=0)) / 2
        radius = _ROOM * max(float(np.linalg.norm(points - centre, axis=1).max()), 1e-6)
        surface.use()
        surface.clear()
        for number, ray in enumerate(rays):
            surface.viewport = (number * _TILE, 0, _TILE, _TILE)
            self._shadow["to_clip"].write(columns(from_light(ray, centre, radius)))
            for instance, mesh in zip(scene.instances, meshes, strict=True):
                self._shadow["T_camera_mesh"].write(columns(instance.T_camera_mesh))
                mesh.shadow.render()
        half = np.diag([0.5, 0.5, 0.5, 1.0])
        half[:3, 3] = 0.5
        maps = np.zeros((MOST_TILES, 4, 4), dtype=np.float32)
        for number, ray in enumerate(rays):
            maps[number] = (half @ from_light(ray, centre, radius)).T
        program = self._color
        program["to_tile"].write(maps.tobytes())
        program["all_tiles"].value = float(max(len(rays), 1))
        program["lift"].value = _LIFT * 2.0 * radius / _TILE
        program["surface"].value, program["panorama"].value, program["shadows"].value = 0, 1, 2
        depths.use(2)

    def _make_surface(self, shape: tuple[int, int], components: int, dtype: str) -> Any:
        size = (shape[1], shape[0])
        return self._gl.framebuffer(
            [self._gl.renderbuffer(size, components, dtype=dtype)],
            self._gl.depth_renderbuffer(size),
        )

    def _make_tiles(self, count: int) -> tuple[Any, Any]:
        depths = self._gl.depth_texture((count * _TILE, _TILE))
        depths.compare_func = "<="
        depths.filter = (self._gl.LINEAR, self._gl.LINEAR)
        depths.repeat_x = depths.repeat_y = False
        return self._gl.framebuffer(depth_attachment=depths), depths

    def _mesh(self, mesh: TexturedMesh) -> RasterMesh:
        """Returns a mesh as the GPU has it, handed over when it is first seen."""
        held = self._meshes.get(mesh)
        if held is None:
            texture, rows = texture_of(mesh), self._gl.buffer(corner_rows(mesh).tobytes())
            look = (rows, "3f 3f 1f 3f", "position", "normal", "openness", "look")
            shape = (rows, "3f 28x", "position")
            held = self._meshes[mesh] = RasterMesh(
                color=self._gl.vertex_array(self._color, [look]),
                centre=self._gl.vertex_array(self._centre, [shape]),
                shadow=self._gl.vertex_array(self._shadow, [shape]),
                texture=None if texture is None else self._texture(texture),
                hull=hull_points(mesh.vertices[np.unique(mesh.faces)]),
            )
        return held

    def _texture(self, linear: Floats) -> Any:
        size, halves = linear.shape[1::-1], linear.astype(np.float16)
        made = self._gl.texture(size, 3, halves.tobytes(), alignment=2, dtype="f2")
        made.filter = (self._gl.LINEAR_MIPMAP_LINEAR, self._gl.LINEAR)
        made.build_mipmaps()
        return made


def _padded(rows: Sequence[Array]) -> bytes:
    held = np.zeros((MOST_LAMPS, 3), dtype=np.float32)
    held[: len(rows)] = np.reshape(rows, (-1, 3))
    return held.tobytes()
