# SPDX-License-Identifier: Apache-2.0
"""Renderers by their names; those that are extras are loaded when they are asked for."""

from __future__ import annotations

from typing import Final, Literal

from offline_search.data.mitsuba_renderer import MitsubaRenderer
from offline_search.data.moderngl_renderer import ModernglRenderer
from offline_search.data.renderer import EmbreeRenderer, Renderer

RendererName = Literal["embree", "mitsuba", "moderngl"]

#: What renders where nothing else is asked for, and what is held out from training always.
DEFAULT_RENDERER: Final = "embree"

_RENDERERS: Final = {
    "embree": EmbreeRenderer,
    "mitsuba": MitsubaRenderer,
    "moderngl": ModernglRenderer,
}


def make_renderer(name: RendererName) -> Renderer:
    """Returns the renderer of that name.

    Raises:
        DatasetError: it is an extra that is not installed.
    """
    renderer: Renderer = _RENDERERS[name]()
    return renderer
