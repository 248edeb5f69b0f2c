# SPDX-License-Identifier: Apache-2.0
"""The tables of parameters, and what is made from them."""

from __future__ import annotations

import inspect
import math
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from fpg_pose_ros.estimator import Estimator, Limits
from fpg_pose_ros.nodes.parameter import Parameter
from fpg_pose_ros.nodes.parameters import TABLES, parameters_markdown
from fpg_pose_ros.nodes.pose_parameters import POSE_NODE
from fpg_pose_ros.tracking import TrackingSettings

ROOT = Path(__file__).parents[3]
ALL = [(node, parameter) for node, table in TABLES.items() for parameter in table]
EACH = pytest.mark.parametrize(
    ("node", "parameter"), ALL, ids=[f"{node}.{parameter.name}" for node, parameter in ALL]
)


@EACH
def test_each_parameter_is_described_and_takes_its_default(node: str, parameter: Parameter) -> None:
    assert parameter.description.endswith((".", ")"))
    assert parameter.problem(parameter.default) is None


@EACH
def test_each_number_has_a_range_that_it_keeps(node: str, parameter: Parameter) -> None:
    if not isinstance(parameter.default, int | float) or isinstance(parameter.default, bool):
        return
    assert parameter.low is not None
    assert parameter.high is not None
    kind = type(parameter.default)
    step = 1 if kind is int else 1e-6
    for value in (parameter.low, parameter.high):
        assert parameter.problem(kind(value)) is None
    for value in (kind(parameter.low) - step, kind(parameter.high) + step):
        problem = parameter.problem(value)
        assert problem is not None
        assert parameter.name in problem
        assert parameter.allowed in problem


@EACH
def test_no_parameter_takes_another_type(node: str, parameter: Parameter) -> None:
    for value in (True, 1, 1.0, "a", None):
        if type(value) is not type(parameter.default):
            assert parameter.problem(value) is not None


def test_a_number_that_is_not_finite_is_refused() -> None:
    unbounded = Parameter("x", 0.0, "A number.")
    for value in (math.nan, math.inf, -math.inf):
        assert unbounded.problem(value) == f"x is {value}; it must be a finite number"


def test_a_word_that_is_no_choice_is_refused_naming_the_choices() -> None:
    parameter = Parameter("colour", "red", "A colour.", choices=("red", "green"))
    assert parameter.problem("green") is None
    assert parameter.problem("blue") == "colour is 'blue'; it must be one of: red, green"


def test_a_declaration_that_refuses_its_own_default_is_refused() -> None:
    with pytest.raises(ValueError, match="refused by its own rule"):
        Parameter("x", 2.0, "A number.", low=0.0, high=1.0)


def test_names_are_unique_in_each_node() -> None:
    for table in TABLES.values():
        names = [parameter.name for parameter in table]
        assert len(names) == len(set(names))


def test_the_documentation_is_what_the_tables_give() -> None:
    assert (ROOT / "docs" / "parameters.md").read_text() == parameters_markdown()


def test_the_documentation_lists_every_parameter_with_its_default() -> None:
    text = parameters_markdown()
    for _, parameter in ALL:
        assert f"| `{parameter.name}` | {parameter.type_name} | " in text


def test_the_shipped_configuration_holds_the_defaults() -> None:
    configured = yaml.safe_load((ROOT / "config" / "pose.yaml").read_text())
    assert set(configured) == {"/**/pose_node", "/**/camera_node"}
    for key, content in configured.items():
        defaults = {p.name: p.default for p in TABLES[key.removeprefix("/**/")]}
        for name, value in content["ros__parameters"].items():
            assert (name, value, type(value)) == (name, defaults[name], type(defaults[name]))
    shown = configured["/**/pose_node"]["ros__parameters"]
    assert list(shown) == [parameter.name for parameter in POSE_NODE]


def test_defaults_are_those_of_what_they_set() -> None:
    shown = {p.name: p.default for p in POSE_NODE}
    assert shown["threads"] == inspect.signature(Estimator).parameters["threads"].default
    for name, value in asdict(Limits()).items():
        assert shown[name] == value
    tracking = asdict(TrackingSettings())
    assert shown["tracking"] is tracking.pop("enabled")
    assert shown["locate_period"] == tracking.pop("locate_period")
    for name, value in tracking.items():
        assert shown[f"track_{name}"] == value
