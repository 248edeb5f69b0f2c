# SPDX-License-Identifier: Apache-2.0
"""Drawings that stand alone: SVG files with their own colours, on white."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from offline_search.report.svg import document

_STYLE: Final = """
text { font: 12px system-ui, "Segoe UI", Roboto, Arial, sans-serif; fill: #3c444d; }
.tick { font-size: 11.5px; fill: #6d7680; } .mid { text-anchor: middle; } .end { text-anchor: end; }
.strong { font-weight: 600; fill: #1d2229; } .grid { stroke: #eceae5; } .axis { stroke: #b9b5ac; }
"""


def stand_alone(parts: Sequence[str], description: str, *, width: float, height: float) -> str:
    """The SVG file that these parts make up, see `svg.document`."""
    drawing = document(
        [
            f"<style>{_STYLE}</style>",
            f'<rect width="{width:g}" height="{height:g}" fill="#fff"/>',
            *parts,
        ],
        description,
        width=width,
        height=height,
    )
    size = f'xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}"'
    return drawing.replace("<svg ", f"<svg {size} ", 1) + "\n"
