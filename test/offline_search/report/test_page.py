# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import io
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from offline_search.report.page import (
    Code,
    Note,
    Picture,
    Pictures,
    Section,
    Table,
    Tile,
    jpeg_uri,
    render_page,
    webp_uri,
    write_page,
)


class References(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.found += [v or "" for k, v in attrs if k in ("src", "href", "data", "action")]


def page(*sections: Section, **changes: object) -> str:
    values: dict[str, object] = {
        "title": "Title",
        "lead": "Lead.",
        "tiles": [Tile("Label", "1", "unit", "note", "good")],
        "sections": sections,
        "footer": "Footer.",
    }
    return render_page(**{**values, **changes})  # type: ignore[arg-type]


def grey(level: int) -> np.ndarray:
    return np.full((24, 32, 3), level, np.uint8)


def test_a_page_needs_nothing_beside_it() -> None:
    picture = Picture(jpeg_uri(grey(90)), "h", "c")
    clip = Picture(webp_uri([grey(0), grey(255)], 0.1), "h", "c")
    html = page(Section("one", "One", "", [Pictures([picture], clip)]))
    references = References()
    references.feed(html)
    assert {"script", "link", "iframe", "object"}.isdisjoint(references.tags)
    assert all(r.startswith(("data:", "#")) for r in references.found)
    assert "url(" not in html
    assert "@import" not in html


def test_what_is_given_is_text_and_never_markup() -> None:
    html = page(
        Section(
            "s",
            "<i>Title</i>",
            "a < b",
            [Note("<b>"), Code("a && b"), Table(["<u>"], [["<s>"]], "<em>")],
        ),
        title="<script>alert(1)</script>",
    )
    for tag in ("<i>Title", "<b>", "<u>", "<s>", "<em>", "<script>"):
        assert tag not in html
    assert "a &amp;&amp; b" in html


def test_every_section_can_be_reached_from_the_top() -> None:
    html = page(Section("one", "One"), Section("two", "Two"))
    for name in ("one", "two"):
        assert f'href="#{name}"' in html
        assert f'<section id="{name}">' in html


def test_a_jpeg_uri_holds_the_picture_in_the_right_colours() -> None:
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 255
    data = base64.b64decode(jpeg_uri(red).removeprefix("data:image/jpeg;base64,"))
    shown = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert shown[8, 8] == pytest.approx([255, 0, 0], abs=6)


def test_a_webp_uri_moves() -> None:
    uri = webp_uri([grey(0), grey(120), grey(240)], 0.1)
    data = base64.b64decode(uri.removeprefix("data:image/webp;base64,"))
    assert Image.open(io.BytesIO(data)).n_frames == 3


def test_writing_replaces_a_page_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    write_page(path, "one")
    write_page(path, "two")
    assert path.read_text() == "two"
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
