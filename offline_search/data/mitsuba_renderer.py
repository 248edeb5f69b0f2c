# SPDX-License-Identifier: Apache-2.0
"""Path-traced pictures by Mitsuba 3, behind the interface of the Embree renderer. An extra.

Light bounces between surfaces, metals mirror one another, shadows are soft throughout. It takes
many times as long as Embree.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.errors import DatasetError
from fpg_pose_ros.geometry import Array
from offline_search.data.scene import Instance, Light, Material, Render, Scene
from offline_search.data.shading import PLAIN, Floats, to_linear, to_uint8

_VARIANT: Final = "scalar_rgb"  # the one that needs neither LLVM nor a GPU
_BOUNCES: Final = 5
_LAMP_DISTANCE: Final = 100.0  # m; as good as infinite
_PANORAMA: Final = (64, 128)
_MIRROR: Final = 12  # sharpness of a mirror: the environment as it is
_MOST_STRETCH: Final = 1e-3


class MitsubaRenderer:
    """Renderer on Mitsuba 3's scalar variant."""

    def __init__(self, paths: int = 32) -> None:
        """Loads Mitsuba.

        Args:
            paths: of light, a pixel.

        Raises:
            DatasetError: Mitsuba is not installed.
        """
        self.paths = paths
        self._mi = _mitsuba()

    @property
    def name(self) -> str:
        """See `Renderer`."""
        return f"mitsuba-{self.paths}"

    def __reduce__(self) -> tuple[type[MitsubaRenderer], tuple[int]]:
        """Mitsuba stays in the process that loaded it."""
        return MitsubaRenderer, (self.paths,)

    def render(
        self, scene: Scene, K: Array, A: Array, shape: tuple[int, int], samples: int = 2
    ) -> Render:
        """See `Renderer.render`.

        Raises:
            DatasetError: the window is sheared or stretched.
        """
        camera, turn = _camera(K, A, shape)
        # its x is to the left, its y upwards
        camera["to_world"] = self._mi.ScalarTransform4f(np.diag([-1.0, -1.0, 1.0, 1.0]))
        world: dict[str, Any] = {
            "type": "scene",
            "integrator": {"type": "path", "max_depth": _BOUNCES, "hide_emitters": True},
            "sensor": camera,
        }
        # Shapes are numbered in this order; lamps come last.
        for number, instance in enumerate(scene.instances):
            world[f"a_{number:03d}"] = self._mesh(instance, turn)
        for number, light in enumerate(scene.lights):
            world[f"b_{number:03d}"] = _lamp(light, turn, self._mi)
        world["surround"] = {
            "type": "envmap",
            "bitmap": self._mi.Bitmap(_panorama(scene, turn)),
        }
        loaded = self._mi.load_dict(world)
        picture = np.array(self._mi.render(loaded, spp=self.paths), dtype=np.float32)
        numbers = np.array([0] + [item.number for item in scene.instances], dtype=np.uint8)
        index, depth = self._centres(loaded, K, A, shape, turn, len(scene.instances))
        cover = np.clip(picture[..., 3:], 0.0, 1.0)
        colors = to_uint8(picture[..., :3] / np.maximum(cover, 1e-6))
        if samples == 1:
            cover = (index >= 0).astype(np.float32)[..., None]
        return Render(
            rgb=(colors * cover + 0.5).astype(np.uint8),
            alpha=(cover[..., 0] * 255.0 + 0.5).astype(np.uint8),
            instance=numbers[index + 1],
            depth=depth,
        )

    def _mesh(self, instance: Instance, turn: Array) -> Any:
        """Returns a mesh with corners of its own for each face, where it stands."""
        mesh, material = instance.mesh, instance.material
        T = instance.T_camera_mesh
        corners = mesh.vertices[mesh.faces].reshape(-1, 3) @ T[:3, :3].T + T[:3, 3]
        normals = mesh.normals.reshape(-1, 3) @ T[:3, :3].T
        textured = mesh.uv is not None and mesh.texture is not None
        properties = self._mi.Properties()
        if textured:
            assert mesh.texture is not None
            bitmap = self._mi.Bitmap(_colored(to_linear(mesh.texture), material))
            color: dict[str, Any] = {"type": "bitmap", "bitmap": bitmap, "raw": True}
        else:
            color = {"type": "mesh_attribute", "name": "vertex_color"}
        properties["mesh_bsdf"] = self._mi.load_dict(_bsdf(color, material))
        made = self._mi.Mesh(
            "mesh",
            len(corners),
            len(mesh.faces),
            props=properties,
            has_vertex_normals=True,
            has_vertex_texcoords=textured,
        )
        if not textured:
            plain = np.full((len(corners), 3), PLAIN, dtype=np.float32)
            if mesh.vertex_colors is not None:
                plain = to_linear(mesh.vertex_colors)[mesh.faces].reshape(-1, 3)
            made.add_attribute("vertex_color", 3, _colored(plain, material).ravel())
        values = self._mi.traverse(made)
        values["vertex_positions"] = (corners @ turn.T).astype(np.float32).ravel()
        values["vertex_normals"] = (normals @ turn.T).astype(np.float32).ravel()
        values["faces"] = np.arange(len(corners), dtype=np.uint32)
        if textured:
            assert mesh.uv is not None
            across, upwards = mesh.uv[mesh.faces].reshape(-1, 2).T
            uv = np.column_stack([across, 1.0 - upwards])
            values["vertex_texcoords"] = uv.astype(np.float32).ravel()
        values.update()
        return made

    def _centres(
        self, loaded: Any, K: Array, A: Array, shape: tuple[int, int], turn: Array, count: int
    ) -> tuple[NDArray[np.int32], Floats]:
        """Returns what one ray through each pixel's centre hits: instance or -1, and depth."""
        mi = self._mi
        y, x = (grid.ravel() for grid in np.mgrid[: shape[0], : shape[1]])
        to_image = np.linalg.inv(np.vstack([A, [0.0, 0.0, 1.0]]) @ K)
        rays = np.stack([x, y, np.ones(len(x))], axis=1) @ to_image.T @ turn.T
        index = np.full(len(rays), -1, dtype=np.int32)
        depth = np.zeros(len(rays), dtype=np.float32)
        origin = mi.Point3f(0, 0, 0)
        for number, ray in enumerate(rays.tolist()):
            hit = loaded.ray_intersect_preliminary(mi.Ray3f(origin, mi.Vector3f(ray)))
            if hit.is_valid() and hit.shape_index < count:
                index[number], depth[number] = hit.shape_index, hit.t * ray[2]
        return index.reshape(shape), depth.reshape(shape)


def _mitsuba() -> Any:
    try:
        import mitsuba
    except ImportError:
        raise DatasetError(
            "the renderer mitsuba is not installed; install it with "
            "`pip install '.[photorealistic]'` in a clone, or render with embree"
        ) from None
    mitsuba.set_variant(_VARIANT)
    return mitsuba


def _camera(K: Array, A: Array, shape: tuple[int, int]) -> tuple[dict[str, Any], Array]:
    """Returns a sensor, and the turn (3, 3) of the scene about the line of sight that it needs."""
    linear = A[:, :2] @ K[:2, :2]
    focal = float(np.sqrt(abs(np.linalg.det(linear))))
    turn = np.eye(3)
    turn[:2, :2] = linear / focal
    if np.abs(turn @ turn.T - np.eye(3)).max() > _MOST_STRETCH or np.linalg.det(turn) < 0:
        raise DatasetError(
            "the renderer mitsuba takes windows of square pixels only, neither sheared, stretched "
            "nor mirrored; render this one with embree"
        )
    height, width = shape
    # half a pixel: Mitsuba's picture begins at the first pixel's edge, ours at its centre
    cx, cy = A[:, :2] @ K[:2, 2] + A[:, 2] + 0.5
    sensor = {
        "type": "perspective",
        "fov": float(np.degrees(2.0 * np.arctan(0.5 * width / focal))),
        "fov_axis": "x",
        "near_clip": 1e-3,
        "principal_point_offset_x": float((0.5 * width - cx) / width),
        "principal_point_offset_y": float((0.5 * height - cy) / height),
        "film": {
            "type": "hdrfilm",
            "width": width,
            "height": height,
            "pixel_format": "rgba",
            "rfilter": {"type": "box"},
        },
        "sampler": {"type": "independent", "seed": 0},
    }
    return sensor, turn


def _colored(linear: Floats, material: Material) -> Floats:
    """Returns a surface's colours (..., 3) as the material makes them."""
    tint = np.asarray(material.tint, dtype=np.float32)
    colors = np.power(linear, np.float32(material.contrast)) * tint
    return np.ascontiguousarray(np.minimum(colors, 1.0), dtype=np.float32)


def _bsdf(color: dict[str, Any], material: Material) -> dict[str, Any]:
    if material.specular <= 0:
        return {"type": "twosided", "bsdf": {"type": "diffuse", "reflectance": color}}
    # Blinn's exponent as a microfacets' width (Walter et al. 2007), which is its square
    width = np.sqrt(2.0 / (2.0**material.sharpness + 2.0))
    principled = {
        "type": "principled",
        "base_color": color,
        "metallic": float(material.metallic),
        "roughness": float(np.sqrt(width)),
        "specular": float(min(material.specular / 0.08, 1.0)),
    }
    return {"type": "twosided", "bsdf": principled}


def _lamp(light: Light, turn: Array, mi: Any) -> dict[str, Any]:
    towards = turn @ light.direction
    if light.radius <= 0:
        irradiance = {"type": "rgb", "value": (np.pi * light.color).tolist()}
        return {"type": "directional", "direction": (-towards).tolist(), "irradiance": irradiance}
    spread = float(np.tan(light.radius))
    aside = np.cross(towards, np.eye(3)[np.argmin(np.abs(towards))])
    place = mi.ScalarTransform4f().look_at(
        origin=(towards * _LAMP_DISTANCE).tolist(), target=[0, 0, 0], up=aside.tolist()
    )
    radiance = {"type": "rgb", "value": (light.color / spread**2).tolist()}
    return {
        "type": "disk",
        "to_world": place @ mi.ScalarTransform4f().scale(_LAMP_DISTANCE * spread),
        "emitter": {"type": "area", "radiance": radiance},
    }


def _panorama(scene: Scene, turn: Array) -> Floats:
    """Returns the light from all around as Mitsuba lays panoramas out, (h, w, 3)."""
    height, width = _PANORAMA
    polar = (np.arange(height) + 0.5) * np.pi / height
    azimuth = (np.arange(width) + 0.5) * 2.0 * np.pi / width
    sine, cosine = np.sin(polar)[:, None], np.cos(polar)[:, None]
    directions = np.stack(
        [sine * np.sin(azimuth), np.broadcast_to(cosine, _PANORAMA), -sine * np.cos(azimuth)], -1
    )
    seen = (directions @ turn).reshape(-1, 3).astype(np.float32)
    if scene.environment is not None:
        radiance = scene.environment.mirrored(seen, _MIRROR)
    else:
        # what makes a white surface's light change evenly from `ambient`'s one to its other
        share = 0.5 + 0.75 * (seen @ scene.up.astype(np.float32))
        radiance = scene.ambient[1] + share[:, None] * (scene.ambient[0] - scene.ambient[1])
    return np.ascontiguousarray(np.maximum(radiance, 0).reshape(height, width, 3), dtype=np.float32)
