# SPDX-License-Identifier: Apache-2.0
"""A page of the worst and the median cases, with what went wrong, and recall over the views."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from fpg_pose_ros.objects import ObjectModel
from offline_search.metrics.causes import (
    FLIPPED_ABOVE_DEG,
    FLIPPED_SURFACE,
    OCCLUDED_BELOW,
    Cause,
)
from offline_search.metrics.recall import ADD_THRESHOLD
from offline_search.report.case import Case
from offline_search.report.case_choice import median, worst
from offline_search.report.case_picture import draw_case
from offline_search.report.page import (
    Chart,
    Charts,
    Picture,
    Pictures,
    Section,
    Table,
    Tile,
    jpeg_uri,
    render_page,
    write_page,
)
from offline_search.report.recall_chart import recall_chart, shares

_MEANING: Final[Mapping[Cause, str]] = {
    Cause.RIGHT: f"ADD(-S) below {ADD_THRESHOLD:g} of the diameter",
    Cause.OCCLUDED: f"less than {OCCLUDED_BELOW:.0%} of the object is to be seen",
    Cause.NOT_LOCATED: "no pose was given",
    Cause.WRONG_PLACE: "beside its place: something else taken for it, or keypoints that slipped",
    Cause.FLIPPED: f"turned by more than {FLIPPED_ABOVE_DEG:g}° into a view of nearly the same "
    f"shape (ADI below {FLIPPED_SURFACE:g} d once moved into place)",
    Cause.ROTATION: "in its place, but turned",
    Cause.DISTANCE: "in line and turned rightly, but too near or too far: its size is misjudged",
}


def write_gallery(
    folder: Path,
    cases: Sequence[Case],
    models: Sequence[ObjectModel],
    *,
    lead: str,
    footer: str,
) -> Path:
    """Writes FOLDER/index.html, which needs nothing beside it.

    Args:
        folder: made where it is not there.
        cases: at least one.
        models: of their objects.
        lead: what was judged on what.
        footer: what identifies it.

    Returns:
        The page's path.
    """
    by_name = {model.name: model for model in models}
    right = sum(case.right for case in cases)
    names = ", ".join(name for name in by_name if any(c.object_name == name for c in cases))
    page = render_page(
        title=f"{names}: {right} of {len(cases)} poses right",
        lead=lead,
        tiles=_tiles(cases),
        sections=[
            _causes(cases),
            _pictures(
                "worst",
                "The worst cases",
                "Of each cause in turn the case that is furthest off. White: the true outline. "
                "Yellow, with axes: the pose that was given.",
                worst(cases),
                by_name,
            ),
            _pictures(
                "median",
                "Median cases",
                "Those about the median error of all.",
                median(cases),
                by_name,
            ),
            _views(cases),
        ],
        footer=footer,
        kind="evaluation",
    )
    path = folder / "index.html"
    write_page(path, page)
    return path


def _tiles(cases: Sequence[Case]) -> list[Tile]:
    total = len(cases)
    counts = Counter(case.cause for case in cases)
    tiles = [Tile("Poses right", f"{100 * counts[Cause.RIGHT] / total:.1f}", "%", _of(total))]
    failures = [(cause, n) for cause, n in counts.most_common() if cause is not Cause.RIGHT]
    for cause, number in failures[:3]:
        tiles.append(
            Tile(cause.value.capitalize(), str(number), f"of {total}", _MEANING[cause], "bad")
        )
    return tiles


def _of(total: int) -> str:
    return f"of {total} that had to be found; {_MEANING[Cause.RIGHT]}"


def _causes(cases: Sequence[Case]) -> Section:
    names = sorted({case.object_name for case in cases})
    several = names if len(names) > 1 else []
    rows = []
    for cause in Cause:
        of_cause = [case for case in cases if case.cause is cause]
        if not of_cause:
            continue
        per_object = [str(sum(case.object_name == name for case in of_cause)) for name in several]
        rows.append(
            [
                cause.value,
                *per_object,
                str(len(of_cause)),
                f"{100 * len(of_cause) / len(cases):.1f}\u00a0%",
                _middle([case.rotation_deg for case in of_cause], "°"),
                _middle([case.translation_mm for case in of_cause], " mm"),
                _MEANING[cause],
            ]
        )
    table = Table(
        ["", *several, "cases", "share", "rotation", "translation", "what that means"],
        rows,
        caption="Rotation and translation: median errors where there is a pose. The first cause "
        "that applies is counted; an occlusion is looked for only where the data tell of it.",
    )
    return Section("causes", "What went wrong", "", [table])


def _middle(values: Sequence[float], unit: str) -> str:
    finite = [value for value in values if np.isfinite(value)]
    return f"{np.median(finite):.1f}{unit}" if finite else "–"


def _pictures(
    name: str,
    title: str,
    text: str,
    chosen: Sequence[Case],
    models: Mapping[str, ObjectModel],
) -> Section:
    pictures = [
        Picture(
            jpeg_uri(draw_case(case, models[case.object_name])),
            f"{case.object_name}: {case.cause.value}",
            caption(case),
        )
        for case in chosen
    ]
    blocks = [Pictures(pictures)] if pictures else []
    return Section(name, title, text if pictures else "There are none.", blocks)


def caption(case: Case) -> str:
    """The figures of a case."""
    parts = [case.label]
    if case.estimate is None:
        parts.append("no pose")
    else:
        side = "too far" if case.along_mm > 0 else "too near"
        parts += [
            f"ADD(\u2011S) {case.add_d:.2f} d",
            f"{case.rotation_deg:.1f}°",
            f"{case.translation_mm:.0f} mm ({abs(case.along_mm):.0f} {side})",
            f"score {case.estimate.score:.2f}",
        ]
    if np.isfinite(case.visible):
        parts.append(f"{case.visible:.0%} in sight")
    view = case.viewpoint
    side = "above" if view.elevation_deg >= 0 else "below"
    parts.append(f"{view.distance_m:.2f} m away, from {abs(view.elevation_deg):.0f}° {side}")
    return "; ".join(parts) + "."


def _views(cases: Sequence[Case]) -> Section:
    right = np.array([case.right for case in cases])
    distances = [case.viewpoint.distance_m for case in cases]
    axes = [
        (
            "Elevation",
            [case.viewpoint.elevation_deg for case in cases],
            "elevation of the camera over the object's horizon, degrees",
            (-90.0, 90.0),
        ),
        (
            "Azimuth",
            [case.viewpoint.azimuth_deg for case in cases],
            "azimuth of the camera about the object, degrees",
            (-180.0, 180.0),
        ),
        ("Distance", distances, "distance, m", (min(distances), max(max(distances), 1e-3))),
        ("Visibility", [case.visible for case in cases], "share in sight", (0.0, 1.0)),
    ]
    charts = []
    for heading, values, label, (low, high) in axes:
        known = np.isfinite(values)
        if not known.any():
            continue
        found = shares(np.asarray(values)[known], right[known], low, max(high, low + 1e-6))
        description = f"share of right poses by {heading.lower()}"
        charts.append(Chart(heading, recall_chart(found, label, description)))
    return Section(
        "views",
        "Recall over the views",
        f"Share of the poses that are right (ADD(-S) below {ADD_THRESHOLD:g} d); above each bar "
        "stands how many cases it is of.",
        [Charts(charts)],
    )
