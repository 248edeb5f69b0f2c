# SPDX-License-Identifier: Apache-2.0
"""A report page from typed blocks: one HTML file that needs nothing beside it.

What a section may hold is a small set of blocks; the template knows how each
looks, and whoever writes a report only says what it contains.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import ClassVar, Literal

import cv2
import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

import fpg_pose_ros


@dataclass(frozen=True)
class Tile:
    """A key figure. ``mood`` colours it when there is a goal it meets or misses."""

    label: str
    value: str
    unit: str = ""
    note: str = ""
    mood: Literal["", "good", "bad"] = ""


@dataclass(frozen=True)
class Picture:
    """An image as a data URI with what is to be seen in it."""

    uri: str
    heading: str
    caption: str


@dataclass(frozen=True)
class Pictures:
    """A grid of pictures; one may lead, four times as large."""

    pictures: Sequence[Picture]
    lead: Picture | None = None
    kind: ClassVar[str] = "pictures"


@dataclass(frozen=True)
class Chart:
    """A drawing from ``report.svg``; ``legend`` pairs a label with a tone."""

    heading: str
    svg: str
    caption: str = ""
    legend: Sequence[tuple[str, int]] = ()


@dataclass(frozen=True)
class Charts:
    """Charts side by side where the page is wide enough."""

    charts: Sequence[Chart]
    kind: ClassVar[str] = "charts"


@dataclass(frozen=True)
class Drawing:
    """One drawing over the page's full width."""

    heading: str
    svg: str
    caption: str = ""
    kind: ClassVar[str] = "drawing"


@dataclass(frozen=True)
class Table:
    """Rows of text; the first cell of each row is its heading."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    heading: str = ""
    caption: str = ""
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Code:
    """Text to be typed or read as it stands."""

    text: str
    heading: str = ""
    caption: str = ""
    kind: ClassVar[str] = "code"


@dataclass(frozen=True)
class Note:
    """A paragraph."""

    text: str
    kind: ClassVar[str] = "note"


Block = Pictures | Charts | Drawing | Table | Code | Note


@dataclass(frozen=True)
class Section:
    """A headed part of the page, reachable by its id."""

    id: str
    title: str
    text: str = ""
    blocks: Sequence[Block] = field(default_factory=tuple)


def render_page(
    *,
    title: str,
    lead: str,
    tiles: Sequence[Tile],
    sections: Sequence[Section],
    footer: str,
    kind: str = "demonstration report",
) -> str:
    """The page as HTML text. Everything is escaped but the charts, which escape themselves."""
    folder = resources.files(__package__)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    # The only text taken as markup: the style sheet beside this file, and SVG made by report.svg.
    environment.filters["svg"] = Markup
    template = environment.from_string((folder / "template.html.j2").read_text("utf-8"))
    return template.render(
        kind=kind,
        title=title,
        lead=lead,
        tiles=tiles,
        sections=sections,
        footer=footer,
        version=fpg_pose_ros.__version__,
        style=Markup((folder / "style.css").read_text("utf-8")),
    )


def write_page(path: Path, html: str) -> None:
    """Write the page in one step, so that a reader never meets half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(html, "utf-8")
    part.replace(path)


def webp_uri(images: Sequence[NDArray[np.uint8]], period_s: float) -> str:
    """RGB images of one size as an endless animation, as a ``data:`` URI."""
    first, *others = (Image.fromarray(image) for image in images)
    buffer = io.BytesIO()
    first.save(
        buffer,
        "WEBP",
        save_all=True,
        append_images=others,
        duration=round(period_s * 1e3),
        loop=0,
        quality=60,
        method=2,
    )
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def jpeg_uri(image: NDArray[np.uint8], quality: int = 82) -> str:
    """An RGB image (H, W, 3) as a ``data:`` URI."""
    done, data = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    if not done:
        raise ValueError(f"an image of shape {image.shape} cannot be written as JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
