# SPDX-License-Identifier: Apache-2.0
"""What a parameter of a node is: name, type, range, and when it may change; knows no ROS."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

Value = bool | int | float | str

When = Literal["live", "configure", "start"]


@dataclass(frozen=True)
class Parameter:
    """One parameter.

    Attributes:
        name: as ROS knows it.
        default: also gives the type, which never changes.
        description: what it does, for people.
        when: when it may change: "live" at any time; "configure" while the node is unconfigured,
            since it takes effect in the configure transition; "start" only when the node starts
            (read-only).
        low, high: inclusive range of a number; None for no limit.
        choices: the allowed values of a string; empty for any.

    Raises:
        ValueError: the declaration contradicts itself.
    """

    name: str
    default: Value
    description: str
    when: When = "live"
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Checks that the default is a value the parameter would accept."""
        if self.when not in get_args(When):
            raise ValueError(f"parameter {self.name}: when is {self.when!r}")
        problem = self.problem(self.default)
        if problem is not None:
            raise ValueError(f"the default of a parameter is refused by its own rule: {problem}")

    @property
    def type_name(self) -> str:
        """The type as ROS writes it."""
        return {bool: "bool", int: "integer", float: "double", str: "string"}[type(self.default)]

    @property
    def allowed(self) -> str:
        """The range or the choices, for people; empty if anything of the type goes."""
        if self.choices:
            return ", ".join(self.choices)
        if self.low is None and self.high is None:
            return ""
        low = "" if self.low is None else f"{self.low:.10g}"
        high = "" if self.high is None else f"{self.high:.10g}"
        return f"{low} to {high}".strip()

    def problem(self, value: object) -> str | None:
        """Says what is wrong with a value, naming what is allowed; None if nothing is."""
        if type(value) is not type(self.default):
            return f"{self.name} must be of type {self.type_name}, not {type(value).__name__}"
        if self.choices and value not in self.choices:
            return f"{self.name} is {value!r}; it must be one of: {self.allowed}"
        if isinstance(value, float) and not math.isfinite(value):
            return f"{self.name} is {value}; it must be a finite number"
        if isinstance(value, int | float) and not isinstance(value, bool):
            low = -math.inf if self.low is None else self.low
            high = math.inf if self.high is None else self.high
            if not low <= value <= high:
                return f"{self.name} is {value}; it must be in {self.allowed}"
        return None
