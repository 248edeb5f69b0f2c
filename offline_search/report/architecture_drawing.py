# SPDX-License-Identifier: Apache-2.0
"""An architecture drawn from top to bottom, its parallel operators side by side.

Beside each layer stands what it costs, as a share of the whole network's MACs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Final

from offline_search.report.network import parts as strips
from offline_search.report.svg import text
from offline_search.space.architecture import STEM_STRIDE, Architecture
from offline_search.space.cost import cell_cost, head_cost, stem_cost
from offline_search.space.kits import kit
from offline_search.space.macs import halve
from offline_search.space.operators import operator

CAPTION: Final = (
    "Boxes side by side compute in parallel; where their paths meet, a dot, stands the mean. Names "
    "say kind, kernel and expansion or dilation: mb_k5_e3 is an MBConv of kernel 5 and expansion 3."
)
WIDTH: Final = 1040
_LEFT: Final = 176.0
"""Where boxes begin; left of it stands what a part is."""
_RIGHT: Final = 790.0
"""Where boxes end; right of it stands the cost."""
_MIDDLE: Final = (_LEFT + _RIGHT) / 2
_BARS: Final = 808.0
_BAR_END: Final = 920.0
_WIDEST: Final = 116.0
_LEAST_BOX: Final = 15.0
# A page holds a drawing of this height; deeper networks are drawn denser.
_TALLEST: Final = 1080.0


@dataclass(frozen=True)
class Step:
    """What is computed at one depth.

    Attributes:
        names: Operators in parallel, joined by their mean; or, in stem and head, one after another.
        macs: Of each of `names`; of stem and head in all.
    """

    names: tuple[str, ...]
    macs: tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """Stem, a stage, a temporal cell or the head.

    Attributes:
        title: What it is.
        output: Channels and size of what it gives.
        steps: First to last.
        tone: Colour of the page.
        parallel: Whether the names of a step stand side by side in the network, too.
    """

    title: str
    output: str
    steps: tuple[Step, ...]
    tone: int
    parallel: bool

    @property
    def macs(self) -> int:
        """Of all steps."""
        return sum(sum(step.macs) for step in self.steps)


def parts(architecture: Architecture) -> list[Part]:
    """What the network is made of, first to last; costs add up to the network's."""
    shown_parts = strips(architecture.to_json())
    stem, head = shown_parts[0], shown_parts[-1]
    stages = shown_parts[1 : 1 + len(architecture.stages)]
    found = [
        Part(
            "stem",
            _output(stem.channels, stem.size),
            (Step(stem.strips, (stem_cost(architecture).macs,)),),
            2,
            parallel=False,
        )
    ]
    make, inputs = kit(architecture.turns), architecture.stem_out
    size = halve(architecture.input_size, STEM_STRIDE)
    for shown, stage in zip(stages, architecture.stages, strict=True):
        steps, stride = [], stage.stride
        for names in stage.layers:
            prices = (operator(n).price(make, inputs, stage.width, stride, size) for n in names)
            steps.append(Step(names, tuple(price.macs for price in prices)))
            size, inputs, stride = halve(size, stride), stage.width, 1
        output = _output(shown.channels, shown.size)
        found.append(Part(shown.title, output, tuple(steps), 0, parallel=True))
    if architecture.cell is not None:
        cell = shown_parts[-2]
        step = Step(cell.strips, (cell_cost(architecture).macs,))
        found.append(
            Part(cell.title, _output(cell.channels, cell.size), (step,), 2, parallel=False)
        )
    macs = (head_cost(architecture).macs,)
    output = _output(head.channels, head.size)
    found.append(Part(head.title, output, (Step(head.strips, macs),), 1, parallel=False))
    return found


def _output(channels: int, size: tuple[int, int]) -> str:
    return f"{channels} ch · {size[1]}×{size[0]}"


@dataclass(frozen=True)
class _Scale:
    """Heights of what is drawn; smaller in deep networks."""

    box: float
    gap: float
    between: float

    def group(self, part: Part) -> float:
        steps = len(part.steps)
        texts = 15 * len(_heading(part, 1)) + 14
        return max(steps * self.box + (steps - 1) * self.gap + 20, texts)


def _scale(drawn: Sequence[Part]) -> _Scale:
    box, gap, between = 24.0, 18.0, 24.0
    while True:
        scale = _Scale(box, gap, between)
        total = sum(scale.group(part) + scale.between for part in drawn)
        if total <= _TALLEST or box < _LEAST_BOX:
            return scale
        box, gap, between = 0.97 * box, 0.97 * gap, 0.97 * between


def draw_architecture(architecture: Architecture) -> str:
    """The drawing as inline SVG; colours and fonts come from the page."""
    drawn = parts(architecture)
    scale, total = _scale(drawn), sum(part.macs for part in drawn)
    dearest = max(sum(step.macs) for part in drawn for step in part.steps)
    rows, columns = architecture.input_size
    out = [
        text(_MIDDLE, 14, f"image {columns}×{rows} RGB", "strong mid"),
        text(_BARS, 14, "MACs and their share", ""),
    ]
    y = end = 20.0
    for part in drawn:
        height, pitch = scale.group(part), scale.box + scale.gap
        out.append(
            f'<rect class="group" x="0" y="{y + scale.between:.1f}" width="{WIDTH}" '
            f'height="{height:.1f}" rx="8"/>'
        )
        y += scale.between
        lines = _heading(part, total)
        first = y + height / 2 - 7.5 * (len(lines) - 1) + 4
        for row, line in enumerate(lines):
            out.append(text(14, first + 15 * row, line, "" if row else "strong"))
        top = y + (height - len(part.steps) * pitch + scale.gap) / 2
        for index, step in enumerate(part.steps):
            at = top + index * pitch
            # Where paths part above the boxes and meet below them; a lone box needs no room.
            fan = scale.gap / 2 if len(step.names) > 1 else 0.0
            out.append(_line((_MIDDLE, end), (_MIDDLE, at - fan)))
            out += _step(step, at, scale.box, fan, part, onward=part is not drawn[-1])
            out += _cost(step, at + scale.box / 2, total, dearest, part.tone)
            end = at + scale.box + fan
        y += height
    several = sum(len(step.names) > 1 for part in drawn if part.parallel for step in part.steps)
    description = f"network of {len(drawn)} parts; {several} layers hold several operators"
    return (
        f'<svg class="network" viewBox="0 0 {WIDTH} {y + 2:.0f}" role="img" '
        f'aria-label="{escape(description)}">' + "".join(out) + "</svg>"
    )


def _heading(part: Part, total: int) -> list[str]:
    """The lines that stand left of it."""
    return [*part.title.split(" · ", 1), part.output, f"{part.macs / total:.1%} of the MACs"]


def _step(
    step: Step, y: float, height: float, fan: float, part: Part, *, onward: bool
) -> list[str]:
    centres, width = _places(len(step.names))
    out = []
    if part.parallel and fan:
        for centre in centres:
            out.append(_line((_MIDDLE, y - fan), (centre, y)))
            out.append(_line((centre, y + height), (_MIDDLE, y + height + fan)))
        tip = f"mean of {len(centres)} operators"
        out.append(
            f'<circle class="mean" cx="{_MIDDLE:.1f}" cy="{y + height + fan:.1f}" r="3.5">'
            f"<title>{tip}</title></circle>"
        )
    elif fan:
        first, last, low = centres[0], centres[-1], y + height
        out.append(_line((_MIDDLE, y - fan), (first, y - fan), (first, y)))
        if onward:
            out.append(_line((last, low), (last, low + fan), (_MIDDLE, low + fan)))
        for left, right in pairwise(centres):
            out.append(
                _line((left + width / 2, y + height / 2), (right - width / 2, y + height / 2))
            )
    for name, centre, macs in zip(step.names, centres, _each(step), strict=True):
        out.append(_box(name, macs, centre, width, y, height, part.tone))
    return out


def _each(step: Step) -> Sequence[int | None]:
    return step.macs if len(step.macs) == len(step.names) else [None] * len(step.names)


def _places(count: int) -> tuple[list[float], float]:
    """Centres and width of so many boxes side by side."""
    gap = 10.0 if count <= 6 else 5.0
    width = min((_RIGHT - _LEFT - gap * (count - 1)) / count, _WIDEST)
    first = _MIDDLE - (count - 1) * (width + gap) / 2
    return [first + index * (width + gap) for index in range(count)], width


def _box(
    name: str, macs: int | None, centre: float, width: float, y: float, height: float, tone: int
) -> str:
    size = min(12.0, height * 0.62, (width - 4) / (0.56 * len(name)))
    tip = name if macs is None else f"{name}: {macs / 1e6:.3f} MMACs"
    style = "block idle" if name == "skip" else f"block t{tone}"
    return (
        f'<rect class="{style}" x="{centre - width / 2:.1f}" y="{y:.1f}" width="{width:.1f}" '
        f'height="{height:.1f}" rx="5"><title>{escape(tip)}</title></rect>'
        f'<text class="mid" style="font-size:{size:.1f}px" x="{centre:.1f}" '
        f'y="{y + height / 2 + 0.35 * size:.1f}">{escape(name)}</text>'
    )


def _line(*points: tuple[float, float]) -> str:
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="flow" points="{places}"/>'


def _cost(step: Step, y: float, total: int, dearest: int, tone: int) -> list[str]:
    """A bar, a piece for each operator, and figures."""
    start, out = _BARS, []
    x = start
    for index, macs in enumerate(step.macs):
        width = (_BAR_END - start) * macs / dearest
        if width > 0.3:
            opacity = 0.85 if index % 2 == 0 else 0.55
            out.append(
                f'<rect class="bar t{tone}" x="{x:.1f}" y="{y - 5:.1f}" width="{width:.1f}" '
                f'height="10" fill-opacity="{opacity}"/>'
            )
        x += width
    macs = sum(step.macs)
    out.append(text(WIDTH - 12, y + 4, f"{macs / 1e6:.2f} M · {macs / total:.1%}", "end"))
    return out
