# SPDX-License-Identifier: Apache-2.0
"""One point of the search space, as a plain immutable value.

A network is a stem (stride 2), stages of layers, and a head. A layer holds one or several
operators; its output is the mean of theirs (FPG-NAS, arXiv 2508.03618, keeps several a layer).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Any, Final, Literal, get_args

from offline_search.space.checks import ArchitectureError, positive, require
from offline_search.space.temporal import TemporalCell

__all__ = [
    "NO_NECK",
    "READERS",
    "STEM_STRIDE",
    "Architecture",
    "ArchitectureError",
    "Head",
    "HeadKind",
    "Neck",
    "Stage",
]

HeadKind = Literal["heatmap", "simcc", "locator"]
Neck = Literal["none", "spp"]
NO_NECK: Final = "none"
STEM_STRIDE = 2


@dataclass(frozen=True)
class Stage:
    """Layers of one width; the first of them has the stride.

    Attributes:
        width: Output channels of every layer.
        stride: 1 or 2, of the first layer.
        layers: For each layer, the names of its operators (see `operators.OPERATORS`).
    """

    width: int
    stride: int
    layers: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        """Checks every field."""
        positive(self.width, "stage width")
        require(self.stride in (1, 2), f"stage stride must be 1 or 2, got {self.stride!r}")
        require(len(self.layers) > 0, "a stage needs at least one layer")
        for layer in self.layers:
            require(len(layer) > 0, "a layer needs at least one operator")
            require(len(set(layer)) == len(layer), f"a layer names an operator twice: {layer}")


@dataclass(frozen=True)
class Head:
    """What turns features into predictions.

    Attributes:
        kind: `heatmap` (K maps), `simcc` (two 1-D distributions a keypoint) or `locator` (C class
            maps and boxes).
        width: Filters. heatmap: one 4x4 stride-2 transposed convolution for each entry. simcc: one
            3x3 separable convolution for each entry. locator: all but the last are transposed
            convolutions, the last is a separable convolution.
        outputs: Keypoints K, or classes C of a locator.
        sic: Spatial information correction (EfficientPose, arXiv 2012.07086): a depthwise 3x3 and a
            ReLU before the last layer of a heatmap head.
        bins_per_pixel: simcc only: bins for each input pixel.
        mask: heatmap only: one more map, of what the whole object covers, hidden parts included.
        neck: What stands between backbone and head: `none`, or `spp`, spatial pyramid pooling (see
            `necks`). Not of a locator.
    """

    kind: HeadKind
    width: tuple[int, ...]
    outputs: int
    sic: bool = True
    bins_per_pixel: int = 2
    mask: bool = False
    neck: Neck = NO_NECK

    def __post_init__(self) -> None:
        """Checks every field."""
        require(self.kind in get_args(HeadKind), f"unknown head kind {self.kind!r}")
        positive(self.outputs, "head outputs")
        positive(self.bins_per_pixel, "head bins_per_pixel")
        require(isinstance(self.sic, bool), f"head sic must be true or false, got {self.sic!r}")
        for width in self.width:
            positive(width, "head width")
        require(self.kind != "locator" or len(self.width) > 0, "a locator head needs a width")
        require(isinstance(self.mask, bool), f"head mask must be true or false, got {self.mask!r}")
        require(not self.mask or self.kind == "heatmap", "only a heatmap head can have a mask")
        require(self.neck in get_args(Neck), f"unknown neck {self.neck!r}")
        require(self.neck == NO_NECK or self.kind != "locator", "a locator can have no neck")

    @property
    def maps(self) -> int:
        """Maps of a heatmap head: the keypoints', then the mask."""
        return self.outputs + self.mask

    @property
    def upsampling(self) -> int:
        """How many times finer than the features the head's maps are."""
        doublings = {"heatmap": len(self.width), "simcc": 0, "locator": len(self.width) - 1}
        return int(2 ** doublings[self.kind])


@dataclass(frozen=True)
class Architecture:
    """A network of the space.

    Attributes:
        input_size: (height, width) in pixels, multiples of the total stride.
        stem_width: Filters of the stem's 3x3 stride-2 convolution and of its depthwise 3x3.
        stem_out: Channels after the stem's 1x1 convolution.
        stages: See `Stage`.
        head: See `Head`.
        turns: 4 for a network that commutes with quarter turns of the image (see `oriented`): its
            widths are multiples of 4. 1 for an ordinary one.
        cell: What earlier images add to the last stage's features; None: each image for itself.
    """

    input_size: tuple[int, int]
    stem_width: int
    stem_out: int
    stages: tuple[Stage, ...]
    head: Head
    turns: int = 1
    cell: TemporalCell | None = None

    def __post_init__(self) -> None:
        """Checks every field."""
        require(len(self.input_size) == 2, "input_size must be (height, width)")
        for value in self.input_size:
            positive(value, "input_size")
            require(
                value % self.stride == 0,
                f"input_size {self.input_size} must be multiples of the stride, {self.stride}",
            )
        positive(self.stem_width, "stem_width")
        positive(self.stem_out, "stem_out")
        require(self.turns in (1, 4), f"turns must be 1 or 4, got {self.turns!r}")
        widths = [self.stem_width, self.stem_out, *self.head.width]
        for width in widths + [stage.width for stage in self.stages]:
            require(
                width % self.turns == 0,
                f"width {width} must be a multiple of {self.turns}, the network's turns",
            )
        require(
            self.cell is None or self.head.kind != "locator",
            "a locator sees whole images, so it can have no temporal cell",
        )

    @property
    def stride(self) -> int:
        """Input pixels for each feature cell in front of the head."""
        return STEM_STRIDE * prod(stage.stride for stage in self.stages)

    @property
    def layers(self) -> tuple[tuple[str, ...], ...]:
        """The operators of all layers, in the order of computation."""
        return tuple(names for stage in self.stages for names in stage.layers)

    @property
    def feature_size(self) -> tuple[int, int]:
        """(height, width) of the features in front of the head."""
        return self.input_size[0] // self.stride, self.input_size[1] // self.stride

    @property
    def output_stride(self) -> float:
        """Input pixels for each output cell (heatmap, locator) or bin (simcc)."""
        if self.head.kind == "simcc":
            return 1.0 / self.head.bins_per_pixel
        return self.stride / self.head.upsampling

    @property
    def map_size(self) -> tuple[int, int]:
        """(height, width) of the output maps; for simcc the numbers of bins in y and x."""
        if self.head.kind == "simcc":
            height, width = self.input_size
            return height * self.head.bins_per_pixel, width * self.head.bins_per_pixel
        (height, width), scale = self.feature_size, self.head.upsampling
        return height * scale, width * scale

    @property
    def digest(self) -> str:
        """Sha256 of the canonical JSON: the same on every machine."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """A JSON object from which `from_json` makes an equal architecture."""
        document: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        # As it was, and hashed, before there were cells and necks.
        if self.cell is None:
            del document["cell"]
        if self.head.neck == NO_NECK:
            del document["head"]["neck"]
        return document

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Architecture:
        """Inverse of `to_json`.

        Raises:
            ArchitectureError: A field is missing, unknown or out of range.
        """
        for name, read in READERS.items():
            if name in document:
                return read(document)
        try:
            head = dict(document["head"])
            head["width"] = tuple(head["width"])
            stages = tuple(_stage(stage) for stage in document["stages"])
            height, width = document["input_size"]
            rest = {
                key: document[key]
                for key in document
                if key not in ("head", "stages", "input_size", "cell")
            }
            if "cell" in document:
                rest["cell"] = TemporalCell.from_json(document["cell"])
            return Architecture(
                input_size=(height, width), stages=stages, head=Head(**head), **rest
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ArchitectureError(
                f"architecture: not of the expected form ({error!r})"
            ) from error


READERS: Final[dict[str, Callable[[Mapping[str, Any]], Architecture]]] = {}
"""What reads an architecture of another kind, by the field that only this kind has."""


def _stage(document: Mapping[str, Any]) -> Stage:
    layers: Sequence[Sequence[str]] = document["layers"]
    return Stage(
        width=document["width"],
        stride=document["stride"],
        layers=tuple(tuple(str(name) for name in layer) for layer in layers),
    )
