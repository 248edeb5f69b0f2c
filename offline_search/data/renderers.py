# SPDX-License-Identifier: Apache-2.0
"""Renderers by their names; those that are extras are loaded when they are asked for."""

from __future__ import annotations

from typing import Final, Literal

from offline_search.data.mitsuba_renderer import MitsubaRenderer
from offline_search.data.renderer import EmbreeRenderer, Renderer

RendererName = Literal["embree", "mitsuba"]

_RENDERERS: Final = {"embree": EmbreeRenderer, "mitsuba": MitsubaRenderer}


def make_renderer(name: RendererName) -> Renderer:
    """Returns the renderer of that name.

    Raises:
        DatasetError: it is an extra that is not installed.
    """
    renderer: Renderer = _RENDERERS[name]()
    return renderer
