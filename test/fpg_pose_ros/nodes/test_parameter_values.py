# SPDX-License-Identifier: Apache-2.0
"""Parameters declared on a node: ranges hold when it starts and when they are set."""

# ruff: noqa: E402 - without ROS the file is skipped before it is imported further

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", exc_type=ImportError)
pytestmark = pytest.mark.ros

import rclpy
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from fpg_pose_ros.nodes.parameter import Parameter, Value
from fpg_pose_ros.nodes.parameter_values import ParameterError, ParameterValues, descriptor
from fpg_pose_ros.nodes.parameters import TABLES

ALL = [(node, parameter) for node, table in TABLES.items() for parameter in table]
EACH = pytest.mark.parametrize(
    ("node", "parameter"), ALL, ids=[f"{node}.{parameter.name}" for node, parameter in ALL]
)


def refused(parameter: Parameter) -> list[Value]:
    """Values of the right type that a parameter must not take."""
    if parameter.choices:
        return ["nonsense"]
    if parameter.low is None or parameter.high is None:
        return []
    kind = type(parameter.default)
    return [kind(parameter.low - 1), kind(parameter.high + 1)]


def accepted(parameter: Parameter) -> list[Value]:
    """Values at the ends of what a parameter takes."""
    if parameter.choices:
        return list(parameter.choices)
    if parameter.low is None or parameter.high is None:
        return [parameter.default]
    kind = type(parameter.default)
    return [kind(parameter.low), kind(parameter.high)]


def declare(node: str, parameter: Parameter, value: Value | None = None) -> tuple[Node, Value]:
    given = [] if value is None else [RosParameter(parameter.name, value=value)]
    made = rclpy.create_node("declared", parameter_overrides=given)
    try:
        values = ParameterValues(made, TABLES[node])
        return made, values.get(parameter.name, type(parameter.default))
    finally:
        made.destroy_node()


@EACH
def test_each_parameter_keeps_its_range_at_start(
    ros: None, node: str, parameter: Parameter
) -> None:
    assert declare(node, parameter)[1] == parameter.default
    for value in accepted(parameter):
        assert declare(node, parameter, value)[1] == value
    for value in refused(parameter):
        with pytest.raises(ParameterError, match=parameter.name):
            declare(node, parameter, value)


def test_each_parameter_keeps_its_range_and_its_time_when_it_is_set(ros: None) -> None:
    configured = False

    def is_configured() -> bool:
        return configured

    for table in TABLES.values():
        node = rclpy.create_node("set")
        values = ParameterValues(node, table, is_configured)
        for parameter in table:
            for configured in (False, True):
                free = parameter.when == "live" or (
                    parameter.when == "configure" and not configured
                )
                for value in accepted(parameter):
                    (result,) = node.set_parameters([RosParameter(parameter.name, value=value)])
                    assert result.successful == free, (parameter.name, value, result.reason)
                    if free:
                        assert values.get(parameter.name, type(parameter.default)) == value
                before = values.get(parameter.name, type(parameter.default))
                for value in refused(parameter):
                    (result,) = node.set_parameters([RosParameter(parameter.name, value=value)])
                    assert not result.successful
                    assert result.reason
                    assert values.get(parameter.name, type(parameter.default)) == before
        node.destroy_node()


def test_ros_knows_descriptions_ranges_and_what_is_read_only() -> None:
    number = descriptor(Parameter("x", 0.5, "A number.", low=0.0, high=1.0))
    assert number.description == "A number."
    assert not number.read_only
    assert number.floating_point_range[0].to_value == 1.0
    whole = descriptor(Parameter("n", 3, "A count.", when="start", low=1, high=9))
    assert whole.read_only
    assert (whole.integer_range[0].from_value, whole.integer_range[0].to_value) == (1, 9)
    word = descriptor(Parameter("w", "a", "A word.", choices=("a", "b")))
    assert word.additional_constraints == "one of: a, b"
