# SPDX-License-Identifier: Apache-2.0
"""ONNX files whose times are taken: of small modules by the hundred, and of whole networks."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import onnx
import torch
from onnxscript import optimizer
from torch import nn

from offline_search.space.architecture import Architecture
from offline_search.space.network import build
from offline_search.space.oriented import to_plain

Shape = tuple[int, ...]
OPSET: Final = 18


def graph(module: nn.Module, shape: Shape) -> bytes:
    """An ONNX file of an ordinary module with one input of that shape, norms folded away.

    The exporter of `offline_search.export` takes a dozen times as long as this older one. The
    runtime makes the same of either's file (a test holds that).
    """
    image = torch.zeros(shape)
    with warnings.catch_warnings(), _one_thread(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore", DeprecationWarning)
        file = Path(folder) / "graph.onnx"
        torch.onnx.export(module.eval(), (image,), file, dynamo=False, opset_version=OPSET)
        model = optimizer.optimize(onnx.load(file))
    return bytes(model.SerializeToString())


@contextmanager
def _one_thread() -> Iterator[None]:
    """Tracing computes next to nothing: more threads would only get in each other's way."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def network_graph(architecture: Architecture) -> bytes:
    """The same of a whole network as a bundle holds it, but with random weights.

    Raises:
        ArchitectureError: The network cannot be built.
    """
    return graph(to_plain(build(architecture, seed=0)), (1, 3, *architecture.input_size))
