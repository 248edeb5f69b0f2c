# SPDX-License-Identifier: Apache-2.0
"""The model bundle, the one file format between training and the robot.

A bundle is a directory, or a zip of its files, of `bundle.json`, one ONNX file a network,
`weights.safetensors` (the same weights for further training) and `meshes.safetensors` (the light
mesh of each object: `<name>/vertices`, `<name>/faces`, `<name>/colors`). There is no pickle in it.

Nothing of a bundle reaches a runtime before its size, file list, hashes, manifest and the shapes of
its networks have been checked; everything is held in memory, so what was checked is what runs.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from fpg_pose_ros.bundle_files import MAX_BYTES, read_contents, write_contents
from fpg_pose_ros.bundle_schema import (
    FORMAT_VERSION,
    MANIFEST,
    MESHES,
    WEIGHTS,
    Manifest,
    NetworkKind,
    NetworkSpec,
    parse_manifest,
    seal,
)
from fpg_pose_ros.errors import BundleError, MeshError
from fpg_pose_ros.objects import Mesh, ObjectModel
from fpg_pose_ros.onnx_header import OnnxHeader, OnnxHeaderError, read_onnx_header

__all__ = [
    "FORMAT_VERSION",
    "MANIFEST",
    "MAX_BYTES",
    "MESHES",
    "WEIGHTS",
    "Bundle",
    "BundleObject",
    "NetworkKind",
    "NetworkSpec",
    "pack_meshes",
    "read_bundle",
    "write_bundle",
]


@dataclass(frozen=True, eq=False)
class BundleObject:
    """An object of a bundle and the network that finds its keypoints in a crop."""

    model: ObjectModel
    network: NetworkSpec


@dataclass(frozen=True, eq=False)
class Bundle:
    """A checked bundle.

    Attributes:
        name: as the manifest has it.
        hash: SHA-256 of bundle.json, which names that of every other file.
        manifest: the whole manifest.
        objects: in the order of the locator's classes.
        locator: the network that finds the objects in the image.
        files: contents by file name, without bundle.json.
    """

    name: str
    hash: str
    manifest: Mapping[str, Any]
    objects: tuple[BundleObject, ...]
    locator: NetworkSpec
    files: Mapping[str, bytes]


def read_bundle(path: str | os.PathLike[str]) -> Bundle:
    """Reads a bundle from a directory or zip, checking everything.

    Raises:
        BundleError: it is missing, truncated, altered, too new or too large, holds files it should
            not, or a network that does not fit its description. The message names the file.
    """
    place = Path(path)
    contents = read_contents(place)
    try:
        return _check(contents)
    except BundleError as error:
        raise BundleError(f"{place}: {error}") from None


def write_bundle(
    path: str | os.PathLike[str], manifest: Mapping[str, Any], files: Mapping[str, bytes]
) -> Bundle:
    """Writes a bundle whole or not at all; a path that ends in .zip makes a zip.

    Args:
        path: where to; a bundle that is there is replaced.
        manifest: all of bundle.json but `format_version`, `files` and `seal`, which are filled in.
        files: contents by name.

    Returns:
        The bundle as read back from what was written.

    Raises:
        BundleError: it would not be readable; nothing has been changed then.
    """
    place = Path(path)
    listing = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in sorted(files.items())
    }
    document = {**manifest, "format_version": FORMAT_VERSION, "files": listing}
    try:
        document["seal"] = seal(document)
        text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    except (TypeError, ValueError) as error:
        raise BundleError(f"{place}: the manifest is no JSON ({error})") from None
    contents = {MANIFEST: text.encode(), **files}
    try:
        _check(contents)
    except BundleError as error:
        raise BundleError(f"{place} is not written: {error}") from None
    return write_contents(place, contents, read_bundle)


def pack_meshes(models: Iterable[ObjectModel]) -> bytes:
    """Returns the contents of meshes.safetensors for some objects."""
    tensors = {}
    for model in models:
        tensors[f"{model.name}/vertices"] = np.ascontiguousarray(model.mesh.vertices, np.float32)
        tensors[f"{model.name}/faces"] = np.ascontiguousarray(model.mesh.faces)
        tensors[f"{model.name}/colors"] = np.ascontiguousarray(model.mesh.colors)
    return bytes(safetensors.numpy.save(tensors))


def _check(contents: Mapping[str, bytes]) -> Bundle:
    manifest = parse_manifest(contents[MANIFEST])
    files = {name: content for name, content in contents.items() if name != MANIFEST}
    _check_files(manifest, files)
    _tensors(WEIGHTS, files)
    objects = _objects(manifest, _tensors(MESHES, files))
    for model, network in objects:
        _check_network(network, files[network.file], len(model.keypoints))
    _check_network(manifest.locator, files[manifest.locator.file], len(objects))
    return Bundle(
        name=manifest.name,
        hash=hashlib.sha256(contents[MANIFEST]).hexdigest(),
        manifest=manifest.document,
        objects=tuple(BundleObject(model, network) for model, network in objects),
        locator=manifest.locator,
        files=files,
    )


def _check_files(manifest: Manifest, files: Mapping[str, bytes]) -> None:
    for name in manifest.files.keys() - files.keys():
        raise BundleError(f"{name} is missing; fetch the bundle again")
    for name in files.keys() - manifest.files.keys():
        raise BundleError(f"{name} is not in the manifest; remove it")
    if sum(map(len, files.values())) > MAX_BYTES:
        raise BundleError(f"it is larger than {MAX_BYTES / 2**20:.0f} MiB, which is refused")
    for name, entry in manifest.files.items():
        if len(files[name]) != entry.size:
            raise BundleError(
                f"{name} has {len(files[name])} bytes, {entry.size} are listed: it is truncated or "
                "altered; fetch the bundle again"
            )
        if hashlib.sha256(files[name]).hexdigest() != entry.sha256:
            raise BundleError(f"{name} has been altered (SHA-256 differs); fetch the bundle again")


def _tensors(name: str, files: Mapping[str, bytes]) -> dict[str, NDArray[Any]]:
    """Reads a safetensors file, which proves that it is one."""
    try:
        return dict(safetensors.numpy.load(files[name]))
    except Exception as error:  # the reader's own error type is not public in all versions
        reason = str(error)[:200]
        raise BundleError(f"{name} cannot be read ({reason}); export the bundle again") from None


def _objects(
    manifest: Manifest, tensors: Mapping[str, NDArray[Any]]
) -> list[tuple[ObjectModel, NetworkSpec]]:
    objects = []
    for values, network in manifest.objects:
        name = values.get("name")
        parts = [tensors.get(f"{name}/{part}") for part in ("vertices", "faces", "colors")]
        vertices, faces, colors = parts
        if vertices is None or faces is None or colors is None:
            raise BundleError(f"{MESHES} has no mesh of {name!r}; export the bundle again")
        try:
            mesh = Mesh(vertices.astype(np.float64), faces, colors)
            objects.append((ObjectModel.from_json(values, mesh), network))
        except (MeshError, TypeError, ValueError) as error:
            raise BundleError(f"{MANIFEST}: {error}") from None
    names = [model.name for model, _ in objects]
    if len(set(names)) != len(names):
        raise BundleError(f"{MANIFEST}: object names {names} are not all different")
    return objects


def _check_network(spec: NetworkSpec, content: bytes, channels: int) -> None:
    """Compares the shapes in the ONNX file with the manifest's."""
    try:
        header = read_onnx_header(content)
    except OnnxHeaderError as error:
        raise BundleError(f"{spec.file} cannot be used: {error}") from None
    wanted = spec.input_shapes
    if [(i.shape, i.is_float) for i in header.inputs] != [(shape, True) for shape in wanted]:
        raise BundleError(
            f"{spec.file} takes {_shapes(header, 'inputs')}, the manifest says float32 "
            f"{' and '.join(map(str, wanted))}; export the bundle again"
        )
    if not _fits(spec, header, channels):
        raise BundleError(
            f"{spec.file} gives {_shapes(header, 'outputs')}, which is no float32 output of kind "
            f"{spec.kind} for {channels} channels and the manifest's input_size, extra and memory"
        )


def _fits(spec: NetworkSpec, header: OnnxHeader, channels: int) -> bool:
    height, width = spec.input_size
    shapes = [output.shape for output in header.outputs if output.is_float]
    if spec.memory is not None and (not shapes or shapes.pop() != spec.memory.given):
        return False
    if spec.kind == "simcc":
        bins = spec.extra["bins_per_pixel"]
        expected = [(1, channels, round(side * bins)) for side in (width, height)]
        return shapes == expected
    stride = spec.extra["stride"]
    cells = (round(height / stride), round(width / stride))
    if spec.kind == "heatmap":
        return shapes == [(1, channels + spec.has_mask, *cells)]
    return shapes == [(1, channels, *cells), (1, 4, *cells)]


def _shapes(header: OnnxHeader, which: str) -> str:
    return " and ".join(str(tensor.shape) for tensor in getattr(header, which)) or "nothing"
