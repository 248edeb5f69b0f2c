# SPDX-License-Identifier: Apache-2.0
"""From torch modules to the ONNX graphs that the robot's runtime gets."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Final

import onnx
import torch
from torch import Tensor, nn

OPSET: Final = 18


def onnx_graph(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    input_names: Sequence[str],
    output_names: Sequence[str] | None = None,
) -> onnx.ModelProto:
    """The graph of an ordinary module in evaluation mode, norms folded away, for fixed shapes.

    Args:
        module: See `oriented.to_plain` for one that is not ordinary.
        inputs: One tensor of the right shape for each argument of `forward`.
        input_names: In the graph.
        output_names: In the graph; None leaves them to the exporter.
    """
    # The exporter talks to loggers, warnings and stdout alike.
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        _quiet("torch.onnx", "onnxscript"),
    ):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            inputs,
            dynamo=True,
            opset_version=OPSET,
            input_names=input_names,
            output_names=output_names,
            verbose=False,
        )
    assert program is not None
    program.optimize()
    model = program.model_proto
    # Python stack traces of every node: two thirds of the file, and paths of this machine.
    for node in [model.graph, *model.graph.node, *model.graph.input, *model.graph.output]:
        _forget(node)
    for value in [*model.graph.value_info, *model.graph.initializer]:
        _forget(value)
    _forget(model)
    return model


def _forget(message: Any) -> None:
    message.ClearField("doc_string")
    with contextlib.suppress(ValueError):
        message.ClearField("metadata_props")


@contextlib.contextmanager
def _quiet(*names: str) -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
