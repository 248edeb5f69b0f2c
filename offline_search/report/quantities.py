# SPDX-License-Identifier: Apache-2.0
"""How quantities are written in reports."""

from __future__ import annotations

import math


def amount(value: float, unit: str) -> tuple[str, str]:
    """A cost as figure and unit: MACs in millions, anything else as it is."""
    return (_figure(value / 1e6), "MMACs") if unit == "MACs" else (_figure(value), unit)


def share(value: float | None, digits: int = 1) -> str:
    """A share as per cent, without the sign; a dash where it is not known."""
    return "–" if value is None or not math.isfinite(value) else f"{100 * value:.{digits}f}"


def decimal(value: float | None, digits: int) -> str:
    """A number; a dash where it is not known."""
    return "–" if value is None or not math.isfinite(value) else f"{value:,.{digits}f}"


def _figure(value: float) -> str:
    """Three digits, and no more than two behind the point."""
    digits = 0 if value >= 1000 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}".removesuffix(".00").removesuffix(".0")
