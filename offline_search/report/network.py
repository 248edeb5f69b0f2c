# SPDX-License-Identifier: Apache-2.0
"""A network drawn stage by stage: one strip a layer, as tall as its feature map is wide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from offline_search.report.svg import text
from offline_search.space.fabric import FINEST

WIDTH = 1040
_TOP, _BOTTOM = 24, 296
_BASE = 232  # feature maps stand on this line
_TALLEST, _SHORTEST = 176, 58
_GAP = 26


@dataclass(frozen=True)
class Part:
    """Stem, a stage or the head.

    Attributes:
        title: what it is.
        strips: one text a layer.
        size: (height, width) of its output, in cells.
        channels: channels of its output.
        tone: colour of the page.
    """

    title: str
    strips: tuple[str, ...]
    size: tuple[int, int]
    channels: int
    tone: int


def parts(architecture: Mapping[str, Any]) -> list[Part]:
    """The parts of an architecture in its JSON form, first to last."""
    height, width = (side // 2 for side in architecture["input_size"])
    found = [
        Part("stem", ("conv 3×3", "depthwise", "1×1"), (height, width), architecture["stem_out"], 2)
    ]
    for number, stage in enumerate(architecture["stages"], start=1):
        height, width = -(-height // stage["stride"]), -(-width // stage["stride"])
        strips = tuple(" + ".join(names) for names in stage["layers"])
        found.append(Part(f"stage {number}", strips, (height, width), stage["width"], 0))
    if "cell" in architecture:
        found.append(_cell(architecture, (height, width)))
    found.append(_head(architecture, (height, width)))
    return found


def _cell(architecture: Mapping[str, Any], size: tuple[int, int]) -> Part:
    edges = architecture["cell"]["edges"]
    strips = tuple(f"lag {edge['lag']}: {' + '.join(edge['operators'])}" for edge in edges)
    return Part("cell · earlier images", strips, size, architecture["stages"][-1]["width"], 2)


def _head(architecture: Mapping[str, Any], size: tuple[int, int]) -> Part:
    head = architecture["head"]
    if "fabric" in architecture:
        height, width = (side // FINEST for side in architecture["input_size"])
        fabrics = tuple(
            f"{len(part['cells'])} cells for {part['name']}"
            for part in architecture["fabric"]["parts"]
        )
        outputs = int(head["outputs"]) + bool(head["mask"])
        return Part("head · fabrics of the parts", fabrics, (height, width), outputs, 1)
    widths, outputs = list(head["width"]), int(head["outputs"])
    neck = ["pyramid pooling"] if head.get("neck") == "spp" else []
    if head["kind"] == "simcc":
        bins = tuple(side * int(head["bins_per_pixel"]) for side in architecture["input_size"])
        strips = [*neck, *(f"separable {w}" for w in widths), "1×1", "bins x, y"]
        return Part("head · coordinate bins", tuple(strips), (bins[0], bins[1]), outputs, 1)
    doublings = len(widths) - (head["kind"] == "locator")
    strips = [*neck, *(f"up ×2 · {w}" for w in widths[:doublings])]
    if head["kind"] == "locator":
        strips += [f"separable {widths[-1]}", "classes", "box"]
    else:
        strips += (["correction 3×3"] if head["sic"] else []) + ["1×1 maps"]
        outputs += bool(head.get("mask"))
    scale = 2**doublings
    maps = "heatmaps and mask" if head.get("mask") else "heatmaps"
    title = "head · locator" if head["kind"] == "locator" else f"head · {maps}"
    return Part(title, tuple(strips), (size[0] * scale, size[1] * scale), outputs, 1)


def draw(architecture: Mapping[str, Any]) -> str:
    """The drawing as inline SVG; colours and fonts come from the page."""
    drawn = parts(architecture)
    strips = sum(len(part.strips) for part in drawn)
    pitch = min((WIDTH - 70 - _GAP * len(drawn)) / strips, 44.0)
    total = 52 + _GAP * len(drawn) + pitch * strips
    x = (WIDTH - total) / 2
    largest = max(max(part.size) for part in drawn if "bins" not in part.title)
    rows, columns = architecture["input_size"]
    out = [text(x + 22, _BASE - 2, f"{columns}×{rows}", "strong mid")]
    out.append(text(x + 22, _BASE + 16, "RGB crop" if rows == columns else "RGB frame", "mid"))
    x += 52
    for part in drawn:
        out.append(
            f'<line class="flow" x1="{x:.1f}" x2="{x + _GAP - 6:.1f}" '
            f'y1="{_BASE - 6}" y2="{_BASE - 6}"/>'
        )
        x += _GAP
        height = _strip_height(max(part.size), largest)
        for index, strip in enumerate(part.strips):
            out.append(_strip(x + index * pitch, pitch, height, strip, part.tone))
        span = pitch * len(part.strips)
        middle = x + span / 2
        out.append(text(middle, _BASE - height - 12, f"{part.channels} ch", "strong mid"))
        out.append(text(middle, _BASE + 20, part.title.split(" · ")[0], "strong mid"))
        out.append(text(middle, _BASE + 37, f"{part.size[1]}×{part.size[0]}", "mid"))
        if " · " in part.title:
            out.append(text(middle, _BASE + 54, part.title.split(" · ")[1], "mid"))
        x += span
    description = f"network of {len(drawn)} parts and {strips} layers"
    return (
        f'<svg class="network" viewBox="0 {_TOP} {WIDTH} {_BOTTOM - _TOP}" role="img" '
        f'aria-label="{description}">' + "".join(out) + "</svg>"
    )


def _strip_height(side: int, largest: int) -> float:
    share = float(min(side / largest, 1.0) ** 0.5)
    return _SHORTEST + (_TALLEST - _SHORTEST) * share


def _strip(x: float, pitch: float, height: float, label: str, tone: int) -> str:
    top = _BASE - height
    size = 10.5 if len(label) * 6 < height else max(6.0, height / max(len(label), 1) / 0.58)
    return (
        f'<rect class="block t{tone}" x="{x + 1.5:.1f}" y="{top:.1f}" width="{pitch - 3:.1f}" '
        f'height="{height:.1f}" rx="4"><title>{escape(label)}</title></rect>'
        f'<text style="font-size:{size:.1f}px" transform="translate({x + pitch / 2 + 4:.1f} '
        f'{_BASE - 8}) rotate(-90)">{escape(label)}</text>'
    )
