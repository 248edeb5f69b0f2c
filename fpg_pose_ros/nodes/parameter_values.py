# SPDX-License-Identifier: Apache-2.0
"""Declares a table of parameters on a node, guards changes, and hands out typed values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from fpg_pose_ros.errors import FpgPoseError
from fpg_pose_ros.nodes.parameter import Parameter, Value

T = TypeVar("T", bool, int, float, str)


class ParameterError(FpgPoseError):
    """A parameter was given a value that it does not take."""


class ParameterValues:
    """The declared parameters of one node.

    Args:
        node: where to declare them.
        table: what to declare.
        configured: whether the node is configured now, so that parameters of kind "configure" are
            fixed. A node without a lifecycle has none of them.
        problem: says what else is wrong with a value that is set later, beyond what the table
            knows; None if nothing is.

    Raises:
        ParameterError: a value given at start is refused; the message names the parameter and what
            it takes.
    """

    def __init__(
        self,
        node: Node,
        table: Iterable[Parameter],
        configured: Callable[[], bool] = lambda: True,
        problem: Callable[[str, Value], str | None] = lambda name, value: None,
    ) -> None:
        """Declares all of them."""
        self._node = node
        self._table = {parameter.name: parameter for parameter in table}
        self._configured = configured
        self._problem = problem
        self._from_within = True
        node.add_on_set_parameters_callback(self._check)
        for parameter in self._table.values():
            try:
                node.declare_parameter(parameter.name, parameter.default, descriptor(parameter))
            except ParameterException as error:
                allowed = f" ({parameter.allowed})" if parameter.allowed else ""
                raise ParameterError(
                    f"parameter {parameter.name} takes a {parameter.type_name}{allowed}: {error}"
                ) from None
        self._from_within = False

    def on_change(self, callback: Callable[[], None]) -> None:
        """Calls something each time after parameters were changed, once for all that came at once.

        The values that it gets belong together.
        """

        def changed(parameters: list[RosParameter]) -> None:
            if any(parameter.name in self._table for parameter in parameters):
                callback()

        self._node.add_post_set_parameters_callback(changed)

    def replace(self, name: str, value: Value) -> None:
        """Sets a parameter to what the node itself knows to be so, also when others may not."""
        self._from_within = True
        try:
            self._node.set_parameters([RosParameter(name, value=value)])
        finally:
            self._from_within = False

    def get(self, name: str, kind: type[T]) -> T:
        """Returns the present value of a parameter, which must be declared with this type."""
        value = self._node.get_parameter(name).value
        if type(value) is not kind:
            raise TypeError(f"parameter {name} is no {kind.__name__}")
        return value

    def _check(self, changes: list[RosParameter]) -> SetParametersResult:
        for change in changes:
            parameter = self._table.get(change.name)
            if parameter is None:
                continue  # declared by rclpy itself, as use_sim_time is
            problem = parameter.problem(change.value)
            if problem is None and not self._from_within:
                problem = self._problem_now(parameter, change.value)
            if problem is not None:
                return SetParametersResult(successful=False, reason=problem)
        return SetParametersResult(successful=True)

    def _problem_now(self, parameter: Parameter, value: Value) -> str | None:
        """Says what is wrong with a change from outside whose value is a good one."""
        if parameter.when == "configure" and self._configured():
            return f"{parameter.name} takes effect when the node is configured: clean it up first"
        return self._problem(parameter.name, value)


def descriptor(parameter: Parameter) -> ParameterDescriptor:
    """Describes a parameter to ROS: description, range, and whether it is read-only."""
    result = ParameterDescriptor(
        name=parameter.name,
        description=parameter.description,
        additional_constraints=f"one of: {parameter.allowed}" if parameter.choices else "",
        read_only=parameter.when == "start",
    )
    if parameter.low is not None and parameter.high is not None:
        default: Value = parameter.default
        if isinstance(default, float):
            result.floating_point_range = [
                FloatingPointRange(from_value=float(parameter.low), to_value=float(parameter.high))
            ]
        else:
            result.integer_range = [
                IntegerRange(from_value=int(parameter.low), to_value=int(parameter.high), step=1)
            ]
    return result
