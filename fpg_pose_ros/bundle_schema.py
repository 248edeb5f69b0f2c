# SPDX-License-Identifier: Apache-2.0
"""The manifest of a model bundle, bundle.json: its form, checked value by value."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NoReturn, TypeVar, get_args

from fpg_pose_ros.calibration import check_calibration
from fpg_pose_ros.errors import BundleError
from fpg_pose_ros.memory import MemorySpec

FORMAT_VERSION: Final = 2
MANIFEST: Final = "bundle.json"
WEIGHTS: Final = "weights.safetensors"
MESHES: Final = "meshes.safetensors"
MAX_OBJECTS: Final = 64
# Of metrics within metrics.
_MAX_LEVELS: Final = 16

NetworkKind = Literal["heatmap", "simcc", "locator"]
Precision = Literal["float32", "int8"]
T = TypeVar("T")

# A plain file name: no folders, no hidden files, nothing a file system could read otherwise.
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\.(onnx|safetensors)")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_MAX_SIDE: Final = 4096
# What `extra` must hold for each kind, besides optional settings.
_NEEDED_EXTRA: Final[dict[str, tuple[str, ...]]] = {
    "heatmap": ("stride", "crop_margin"),
    "simcc": ("bins_per_pixel", "crop_margin"),
    "locator": ("stride",),
}
# The mean of an error, which lies on either side of zero.
_SIGNED_EXTRA: Final = frozenset({"silhouette_bias"})


@dataclass(frozen=True)
class NetworkSpec:
    """How to feed a network of the bundle and read what it gives.

    Attributes:
        file: its ONNX file in the bundle.
        kind: what its outputs mean: `heatmap` one (1, K, h, w), or K + 1 maps with a mask, `simcc`
            two (1, K, bins) for x and y, `locator` class logits (1, C, h, w) and box sides
            (1, 4, h, w).
        input_size: (height, width), px; the input is float32 (1, 3, height, width), RGB.
        mean, std: the input is (pixel - mean) / std with pixels in 0..255; (0, 0, 0) and (1, 1, 1)
            where the network itself normalises.
        macs, params: cost of one run, and number of weights.
        extra: settings of the kind: `stride` (heatmap, locator), `bins_per_pixel` (simcc),
            `crop_margin` (crop side over box side), those of `decode.DecodeParameters` and of
            `calibration`, and, of a heatmap network with a mask, `silhouette_bias` and
            `silhouette_sigma`.
        precision: what its convolutions are computed in; inputs and outputs are float32 always.
        memory: of a network that is told of earlier images: a second input (1, L, C, h, w), their
            features, and a last output (1, C, h, w), those of this image; None for all others.
    """

    file: str
    kind: NetworkKind
    input_size: tuple[int, int]
    macs: int
    params: int
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    extra: Mapping[str, float] = field(default_factory=dict)
    precision: Precision = "float32"
    memory: MemorySpec | None = None

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of all inputs, the image's first."""
        image = (1, 3, *self.input_size)
        return (image,) if self.memory is None else (image, self.memory.taken)

    @property
    def has_mask(self) -> bool:
        """Whether its last map is the cover by the whole object (see `silhouette`)."""
        return self.kind == "heatmap" and "silhouette_sigma" in self.extra

    def to_json(self) -> dict[str, Any]:
        """Returns plain values for the manifest."""
        return {
            "file": self.file,
            "kind": self.kind,
            "input_size": list(self.input_size),
            "macs": self.macs,
            "params": self.params,
            "mean": list(self.mean),
            "std": list(self.std),
            "extra": dict(self.extra),
            "precision": self.precision,
            **({} if self.memory is None else {"memory": self.memory.to_json()}),
        }


@dataclass(frozen=True)
class FileEntry:
    """What the manifest says of one file: SHA-256 in hexadecimal and size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """A checked manifest; objects are (model values without the mesh, pose network)."""

    name: str
    document: dict[str, Any]
    objects: tuple[tuple[dict[str, Any], NetworkSpec], ...]
    locator: NetworkSpec
    files: dict[str, FileEntry]


def parse_manifest(data: bytes) -> Manifest:
    """Reads and checks the bytes of bundle.json.

    Raises:
        BundleError: not JSON, of another format, altered, or a value is missing or out of range;
            the message names it.
    """
    document = _json(data)
    version = _get(document, "format_version", int, "a whole number")
    if version != FORMAT_VERSION:
        remedy = "update fpg_pose_ros" if version > FORMAT_VERSION else "export the bundle again"
        raise BundleError(
            f"{MANIFEST}: format_version is {version}, only {FORMAT_VERSION} can be read; {remedy}"
        )
    if document.get("seal") != seal(document):
        raise BundleError(f"{MANIFEST} has been altered (seal differs); fetch the bundle again")
    name = _get(document, "name", str, "a text")
    if not 0 < len(name) <= 128 or not name.isprintable() or set(name) & {"/", "\\"}:
        _refuse("name", "1 to 128 printable characters other than slashes")
    files = _files(_get(document, "files", dict, "an object"))
    entries: list[Any] = _get(document, "objects", list, "a list")
    if not 0 < len(entries) <= MAX_OBJECTS:
        _refuse("objects", f"a list of 1 to {MAX_OBJECTS}")
    objects = tuple(_object(entry, i) for i, entry in enumerate(entries))
    locator = _network(_get(document, "locator", dict, "an object"), "locator")
    if locator.kind != "locator" or any(network.kind == "locator" for _, network in objects):
        _refuse("kind", "'locator' for the locator and another for the objects' networks")
    used = {MESHES, WEIGHTS, locator.file} | {network.file for _, network in objects}
    if used != set(files):
        different = ", ".join(sorted(used ^ set(files)))
        raise BundleError(f"{MANIFEST}: files listed and files used differ: {different}")
    for optional in ("architecture", "costs", "training", "metrics", "calibration", "quantisation"):
        if not isinstance(document.get(optional, {}), dict):
            _refuse(optional, "an object")
    for cost, value in document.get("costs", {}).items():
        if value is not None:
            _whole(value, f"costs.{cost}", 0)
    _check_figures(document.get("training", {}), document.get("metrics", {}))
    return Manifest(name, document, objects, locator, files)


def seal(document: Mapping[str, Any]) -> str:
    """Returns SHA-256 (hexadecimal) of a manifest's values but for `seal`, in whatever layout.

    It finds accidents. Whoever changes a manifest on purpose can compute it too.
    """
    values = {key: value for key, value in document.items() if key != "seal"}
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _json(data: bytes) -> dict[str, Any]:
    def no_constants(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            raise ValueError("a key occurs twice")
        return result

    try:
        document = json.loads(
            data.decode("utf-8"), parse_constant=no_constants, object_pairs_hook=no_duplicates
        )
        # Floats without end and halves of characters can be written as JSON, but not be handed on.
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{MANIFEST} is damaged ({error}); fetch the bundle again") from None
    if not isinstance(document, dict):
        raise BundleError(f"{MANIFEST} is no JSON object; fetch the bundle again")
    return document


def _files(entries: dict[str, Any]) -> dict[str, FileEntry]:
    files = {}
    for name, entry in entries.items():
        where = f"files[{name!r}]"
        if not _FILE_NAME.fullmatch(name):
            _refuse(where, "a plain .onnx or .safetensors file name")
        if not isinstance(entry, dict):
            _refuse(where, "an object")
        sha256 = _get(entry, "sha256", str, "64 hexadecimal digits", where)
        if not _SHA256.fullmatch(sha256):
            _refuse(f"{where}.sha256", "64 hexadecimal digits")
        size = _whole(_get(entry, "bytes", int, "a whole number", where), f"{where}.bytes", 1)
        files[name] = FileEntry(sha256, size)
    return files


def _object(entry: Any, index: int) -> tuple[dict[str, Any], NetworkSpec]:
    where = f"objects[{index}]"
    if not isinstance(entry, dict):
        _refuse(where, "an object")
    model: dict[str, Any] = _get(entry, "model", dict, "an object", where)
    return model, _network(_get(entry, "network", dict, "an object", where), f"{where}.network")


def _network(entry: dict[str, Any], where: str) -> NetworkSpec:
    kind = _kind(entry, where)
    file = _get(entry, "file", str, "an .onnx file name", where)
    if not _FILE_NAME.fullmatch(file) or not file.endswith(".onnx"):
        _refuse(f"{where}.file", "an .onnx file name")
    size: list[Any] = _get(entry, "input_size", list, "[height, width]", where)
    if len(size) != 2 or not all(_is_whole(side) and 8 <= side <= _MAX_SIDE for side in size):
        _refuse(f"{where}.input_size", f"[height, width] in 8..{_MAX_SIDE}")
    std = _triple(entry.get("std", [1.0, 1.0, 1.0]), f"{where}.std")
    if min(std) <= 0:
        _refuse(f"{where}.std", "3 positive numbers")
    return NetworkSpec(
        file=file,
        kind=kind,
        input_size=(size[0], size[1]),
        macs=_whole(_get(entry, "macs", int, "a whole number", where), f"{where}.macs", 0),
        params=_whole(_get(entry, "params", int, "a whole number", where), f"{where}.params", 0),
        mean=_triple(entry.get("mean", [0.0, 0.0, 0.0]), f"{where}.mean"),
        std=std,
        extra=_extra(_get(entry, "extra", dict, "an object", where), kind, f"{where}.extra"),
        precision=_precision(entry, where),
        memory=_memory(entry, kind, (size[0], size[1]), where),
    )


def _kind(entry: dict[str, Any], where: str) -> NetworkKind:
    kinds: tuple[NetworkKind, ...] = get_args(NetworkKind)
    kind = next((kind for kind in kinds if entry.get("kind") == kind), None)
    if kind is None:
        _refuse(f"{where}.kind", "one of " + ", ".join(kinds))
    return kind


def _precision(entry: dict[str, Any], where: str) -> Precision:
    precisions: tuple[Precision, ...] = get_args(Precision)
    given = entry.get("precision", "float32")
    precision = next((precision for precision in precisions if given == precision), None)
    if precision is None:
        _refuse(f"{where}.precision", "one of " + ", ".join(precisions))
    return precision


def _memory(
    entry: dict[str, Any], kind: NetworkKind, input_size: tuple[int, int], where: str
) -> MemorySpec | None:
    if "memory" not in entry:
        return None
    if kind == "locator":
        _refuse(f"{where}.memory", "left out: a locator looks for things that are not known yet")
    try:
        return MemorySpec.from_json(entry["memory"], input_size)
    except ValueError as error:
        raise BundleError(f"{MANIFEST}: {where}.{error}; export the bundle again") from None


def _check_figures(training: Mapping[str, Any], metrics: Mapping[str, Any]) -> None:
    """Checks what a node hands on of how the bundle was made."""
    if training.get("images") is not None:
        _whole(training["images"], "training.images", 0)
    if training.get("minutes") is not None and not _is_number(training["minutes"]):
        _refuse("training.minutes", "a finite number")
    level: list[Any] = [metrics]
    for _ in range(_MAX_LEVELS):
        level = [item for value in level if isinstance(value, dict) for item in value.values()]
        if any(isinstance(item, int) and not abs(item) < 1e300 for item in level):
            _refuse("metrics", "finite numbers")
    if level:
        _refuse("metrics", f"nested in at most {_MAX_LEVELS} levels")


def _extra(extra: dict[str, Any], kind: str, where: str) -> dict[str, float]:
    for key in _NEEDED_EXTRA[kind]:
        if key not in extra:
            _refuse(f"{where}.{key}", "a positive number")
    for key, value in extra.items():
        if key in _SIGNED_EXTRA:
            if not _is_number(value):
                _refuse(f"{where}.{key}", "a finite number")
        elif not _is_number(value) or value < 0 or (value == 0 and key in _NEEDED_EXTRA[kind]):
            _refuse(f"{where}.{key}", "a positive number")
    settings = {key: float(value) for key, value in extra.items()}
    try:
        check_calibration(settings)
    except ValueError as error:
        raise BundleError(f"{MANIFEST}: {where}: {error}; calibrate the bundle again") from None
    return settings


def _triple(value: Any, where: str) -> tuple[float, float, float]:
    if not isinstance(value, list) or len(value) != 3 or not all(map(_is_number, value)):
        _refuse(where, "3 finite numbers")
    return float(value[0]), float(value[1]), float(value[2])


def _whole(value: int, where: str, least: int) -> int:
    if not _is_whole(value) or not least <= value < 2**53:
        _refuse(where, f"a whole number of at least {least}")
    return value


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    # The comparison also refuses NaN, and integers too large for a float.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300


def _get(entry: Mapping[str, Any], key: str, kind: type[T], wanted: str, where: str = "") -> T:
    value = entry.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        _refuse(f"{where}.{key}" if where else key, wanted)
    return value


def _refuse(where: str, wanted: str) -> NoReturn:
    raise BundleError(f"{MANIFEST}: {where} must be {wanted}; export the bundle again")
