# SPDX-License-Identifier: Apache-2.0
"""Pictures by a GPU's rasteriser, through moderngl and EGL, as any renderer makes them. An extra.

The light is that of the Embree renderer, term by term. What a rasteriser does otherwise: shadows
come from maps of depth, one for each point of a lamp (Williams, "Casting curved shadows on curved
surfaces", 1978), so that those of details below about 1/200 of the scene's size are lost; every
pixel is the mean of its samples, not those along edges alone; textures are filtered pixel by pixel,
not mesh by mesh. Nothing mirrors another thing, as with Embree.
"""

from __future__ import annotations

import ctypes
import functools
import os
from typing import Any, Final

from fpg_pose_ros.errors import DatasetError
from fpg_pose_ros.geometry import Array
from offline_search.data.rasteriser import Rasteriser
from offline_search.data.scene import Render, Scene

_REMEDY: Final = "or render with embree"


class ModernglRenderer:
    """Renderer on OpenGL 3.3 without a display: on a GPU, or in software by Mesa's llvmpipe."""

    name: Final = "moderngl"

    def __init__(self) -> None:
        """Looks for moderngl and EGL; a driver is looked for when the first picture is made.

        Not before: a process forked from one that has opened a driver cannot use it.

        Raises:
            DatasetError: moderngl or EGL are not installed.
        """
        _moderngl()

    @property
    def driver(self) -> str:
        """What draws, as it calls itself: a GPU, or Mesa's llvmpipe on the CPU.

        Raises:
            DatasetError: there is no driver.
        """
        return _rasteriser().driver

    def render(
        self, scene: Scene, K: Array, A: Array, shape: tuple[int, int], samples: int = 2
    ) -> Render:
        """See `Renderer.render`.

        Raises:
            DatasetError: there is no driver, or the scene has too many lamps.
        """
        return _rasteriser().render(scene, K, A, shape, samples)


@functools.cache
def _opened() -> tuple[Rasteriser, int]:
    """Returns what all renderers of a process draw with, and that process: one context will do."""
    return Rasteriser(_open()), os.getpid()


def _rasteriser() -> Rasteriser:
    rasteriser, process = _opened()
    if process != os.getpid():
        raise DatasetError(
            "the renderer moderngl was opened by the process that this one was forked from, and "
            "cannot be used here; start the process by spawn, or render the layers before"
        )
    return rasteriser


def _moderngl() -> Any:
    try:
        import moderngl
    except ImportError:
        raise DatasetError(
            "the renderer moderngl is not installed; install it with "
            f"`pip install '.[rasteriser]'` in a clone, {_REMEDY}"
        ) from None
    try:
        ctypes.CDLL("libEGL.so.1")
    except OSError:
        raise DatasetError(
            "the renderer moderngl needs libEGL.so.1, which is not installed; install libegl1 with "
            "the GPU's driver, or libegl1 and libgl1-mesa-dri to draw on the CPU, "
            f"{_REMEDY}"
        ) from None
    return moderngl


def _open() -> Any:
    moderngl = _moderngl()
    try:
        context = moderngl.create_context(standalone=True, backend="egl", require=330)
    except Exception as error:  # glcontext raises plain exceptions
        raise DatasetError(
            f"the renderer moderngl finds no OpenGL 3.3 driver through EGL ({error}); install the "
            f"GPU's, or libgl1-mesa-dri to draw on the CPU, {_REMEDY}"
        ) from error
    context.gc_mode = "auto"  # meshes that are gone leave the GPU too
    return context
