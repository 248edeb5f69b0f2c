# SPDX-License-Identifier: Apache-2.0
"""Networks that people designed, trained and judged like ours: a timm backbone before our head.

A backbone is cut behind its last stage of stride 16 and its widths are scaled by one multiplier,
as its authors scale it; `fitted` finds the multiplier that a budget pays for. Weights are from
scratch. Importing this module registers `HandMade` with `build` and `cost`, so that the training
loop takes it as it takes an `Architecture`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Final

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from fpg_pose_ros.errors import FpgPoseError
from offline_search.space.architecture import Head
from offline_search.space.cost import Cost, cost
from offline_search.space.heads import HeatmapHead
from offline_search.space.network import PIXEL_MEAN, PIXEL_STD, build

# Kept: an operator lives as long as the library that declared it.
_TORCHVISION: Final = torch.library.Library("torchvision", "FRAGMENT")


def _declare_torchvision_operators() -> None:
    """Lets torchvision, which timm imports, load beside any build of torch.

    PyPI's torchvision is a CUDA build whose compiled operators a CPU build of torch cannot load;
    on import it only needs two of them to be declared, and no network here uses one.
    """
    torchvision = find_spec("torchvision")
    for folder in (torchvision and torchvision.submodule_search_locations) or ():
        for library in Path(folder).glob("_C.*"):
            with suppress(OSError):
                torch.ops.load_library(library)
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            _TORCHVISION.define(
                f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )


_declare_torchvision_operators()
try:
    from timm import create_model
    from timm.models import efficientnet, mobilenetv3
except ImportError as error:
    raise ImportError(
        f"{error}: the hand-made networks need timm; `make bench-search` installs it, or "
        "pip install --no-deps --require-hashes -r requirements/benchmarks.txt"
    ) from error

_STRIDE: Final = 16
_FEATURES: Final = {"features_only": True, "out_indices": (3,), "pretrained": False}
"""timm's settings for the maps of stride 16 alone."""
_BISECTIONS: Final = 24
_LEAST, _MOST = 0.02, 8.0
"""Multipliers in which `fitted` looks."""


class HandMadeError(FpgPoseError):
    """A network that cannot be had; the message says what can."""


@dataclass(frozen=True)
class HandMade:
    """A hand-made backbone with our heatmap head.

    It has what the training asks of an `Architecture`, but no temporal cell; a heatmap head asks
    for `head` and `turns`.

    Attributes:
        backbone: one of `BACKBONES`.
        multiplier: of all its widths.
        input_size: (height, width) px, multiples of 16.
        head: a heatmap head.
    """

    backbone: str
    multiplier: float
    input_size: tuple[int, int]
    head: Head
    turns: ClassVar[int] = 1
    stride: ClassVar[int] = _STRIDE
    cell: ClassVar[None] = None

    def __post_init__(self) -> None:
        """Checks every field."""
        if self.backbone not in BACKBONES:
            known = ", ".join(BACKBONES)
            raise HandMadeError(f"no hand-made backbone {self.backbone!r}; there are {known}")
        if self.head.kind != "heatmap":
            raise HandMadeError(f"{self.backbone}: a heatmap head is needed, not {self.head.kind}")
        if any(side <= 0 or side % _STRIDE for side in self.input_size):
            raise HandMadeError(
                f"{self.backbone}: input {self.input_size} must be multiples of {_STRIDE} px"
            )

    @property
    def output_stride(self) -> float:
        """Input pixels for each cell of the maps."""
        return _STRIDE / self.head.upsampling

    @property
    def map_size(self) -> tuple[int, int]:
        """(height, width) of the maps."""
        height, width = self.input_size
        scale = self.head.upsampling
        return height // _STRIDE * scale, width // _STRIDE * scale

    @property
    def digest(self) -> str:
        """Sha256 of the canonical JSON: the same on every machine."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        document: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return document


class HandMadeNetwork(nn.Module):
    """Backbone and head. Input (B, 3, H, W) float32 RGB in 0..255; logits (B, K, h, w)."""

    def __init__(self, architecture: HandMade) -> None:
        """Freshly initialised, as timm and our head initialise."""
        super().__init__()
        self.architecture = architecture
        self.backbone, channels = BACKBONES[architecture.backbone](architecture.multiplier)
        self.head = HeatmapHead(channels, architecture)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the keypoints' maps, then of the mask's."""
        x = (x - PIXEL_MEAN) * (1.0 / PIXEL_STD)
        logits: Tensor = self.head(self.backbone(x)[-1])
        return logits


@build.register
def _(architecture: HandMade, *, seed: int | None = None) -> HandMadeNetwork:
    if seed is None:
        return HandMadeNetwork(architecture)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return HandMadeNetwork(architecture)


@cost.register
@lru_cache
def _(architecture: HandMade) -> Cost:
    network = HandMadeNetwork(architecture).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, *architecture.input_size))
    params = sum(p.numel() for p in network.parameters())
    return Cost(counter.get_total_flops() // 2, params)


def hand_made(backbone: str, budget_macs: int, outputs: int) -> HandMade:
    """The rival at a budget: its input and head suit it, its widths use the budget up.

    Below 20 million MACs the input is 96 px, since the head alone would take half of the budget
    at 128 px.

    Raises:
        HandMadeError: even the narrowest such network costs more.
    """
    small = budget_macs < 20_000_000
    side, width = (96, (32, 24)) if small else (128, (48, 32))
    head = Head("heatmap", width, outputs, mask=True)
    return fitted(backbone, budget_macs, (side, side), head)


def fitted(backbone: str, budget_macs: int, input_size: tuple[int, int], head: Head) -> HandMade:
    """The widest network within a budget of multiply-accumulates, head included.

    Raises:
        HandMadeError: even the narrowest costs more.
    """

    def network(multiplier: float) -> HandMade:
        return HandMade(backbone, multiplier, input_size, head)

    low, high = _LEAST, _MOST
    if (least := cost(network(low)).macs) > budget_macs:
        raise HandMadeError(
            f"{backbone} costs at least {least / 1e6:.1f} million MACs at {input_size} px, more "
            f"than {budget_macs / 1e6:.1f}; choose a smaller input or head"
        )
    for _ in range(_BISECTIONS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if cost(network(middle)).macs <= budget_macs else (low, middle)
    return network(low)


def _staged(make: Callable[..., nn.Module], variant: str) -> Callable[[float], Any]:
    """A backbone of timm's MobileNet and EfficientNet family, whose stages are `blocks`."""

    def backbone(multiplier: float) -> tuple[nn.Module, int]:
        network: Any = make(variant, channel_multiplier=multiplier, **_FEATURES)
        # timm returns the stage's maps but would go on to compute those of stride 32.
        (last,) = network.feature_info.module_name()
        network.blocks = network.blocks[: int(last.removeprefix("blocks.")) + 1]
        return network, network.feature_info.channels()[-1]

    return backbone


def _resnet18(multiplier: float) -> tuple[nn.Module, int]:
    first = 2 * max(round(64 * multiplier / 2), 1)
    channels = (first, *(max(round(width * multiplier), 1) for width in (128, 256, 512)))
    # timm scales the stem of the three-layer kind only: ask for that, then put the plain one back.
    network: Any = create_model(
        "resnet18", stem_type="deep", stem_width=first // 2, channels=channels, **_FEATURES
    )
    network["conv1"] = nn.Conv2d(3, first, 7, 2, 3, bias=False)
    nn.init.kaiming_normal_(network["conv1"].weight, mode="fan_out", nonlinearity="relu")
    return network, network.feature_info.channels()[-1]


BACKBONES: Final[dict[str, Callable[[float], tuple[nn.Module, int]]]] = {
    "mobilenetv3_small": _staged(mobilenetv3._gen_mobilenet_v3, "mobilenetv3_small_100"),
    "mobilenetv4_conv_small": _staged(mobilenetv3._gen_mobilenet_v4, "mobilenetv4_conv_small"),
    "lcnet": _staged(mobilenetv3._gen_lcnet, "lcnet_100"),
    "efficientnet_lite0": _staged(efficientnet._gen_efficientnet_lite, "efficientnet_lite0"),
    "resnet18": _resnet18,
}
"""From a multiplier to a backbone whose last map has stride 16, and that map's channels."""
