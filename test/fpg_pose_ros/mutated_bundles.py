# SPDX-License-Identifier: Apache-2.0
"""Damaged, forged and hostile variants of a model bundle; the same seed makes the same ones.

Each kind of harm is a function that takes the files of a sound bundle and returns those to write,
or writes by itself. Where it forges, the sizes and hashes of the manifest are made right again.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import safetensors.numpy

from fpg_pose_ros.bundle import MANIFEST, MAX_BYTES, MESHES, WEIGHTS
from fpg_pose_ros.bundle_files import read_contents
from fpg_pose_ros.bundle_schema import seal

Files = dict[str, bytes]
Harm = Callable[[Files, np.random.Generator, Path], "Files | bytes"]

#: What these make may be sound: another bundle, which shows by its hash.
MAY_BE_ANOTHER = frozenset({"sealed_network_bits"})


@dataclass(frozen=True)
class Mutant:
    """A bundle that was done some kind of harm."""

    kind: str
    path: Path


def mutants(
    sound: Path, folder: Path, count: int, seed: int, canary: Path, *kinds: str
) -> Iterator[Mutant]:
    """Makes variants of a bundle, one at a time, all kinds in turn.

    Args:
        sound: a bundle's directory.
        folder: for the variants; each is there until the next is asked for, under its own name.
        count: how many.
        seed: of what is drawn.
        canary: a file that comes into being if code hidden in a bundle is run.
        kinds: of harm; all by default.
    """
    kinds = kinds or tuple(sorted(_HARMS))
    files = read_contents(sound)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        rng = np.random.default_rng((seed, number))
        made = _HARMS[kind](dict(files), rng, canary)
        path = folder / f"{number:05d}_{kind}"
        if isinstance(made, bytes):
            path = path.with_suffix(".zip")
            path.write_bytes(made)
        else:
            _write(path, made)
        yield Mutant(kind, path)
        _remove(path)


_HARMS: dict[str, Harm] = {}


def _harm(function: Harm) -> Harm:
    _HARMS[function.__name__.removeprefix("_")] = function
    return function


def _any_file(files: Files, rng: np.random.Generator) -> str:
    return str(rng.choice(sorted(set(files) - {MANIFEST})))


def _flipped(content: bytes, rng: np.random.Generator, bits: int = 1) -> bytes:
    changed = bytearray(content)
    for at in rng.integers(len(content), size=bits):
        changed[at] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _manifest(document: dict[str, Any]) -> bytes:
    """A manifest as one who knows the format would write it."""
    return json.dumps({**document, "seal": seal(document)}).encode()


def _sealed(files: Files, document: dict[str, Any] | None = None) -> Files:
    """The files with a manifest whose list of them is right."""
    document = document or json.loads(files[MANIFEST])
    document["files"] = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in files.items()
        if name != MANIFEST
    }
    return {**files, MANIFEST: _manifest(document)}


@_harm
def _one_bit(files: Files, rng: np.random.Generator, _: Path) -> Files:
    name = _any_file(files, rng)
    return {**files, name: _flipped(files[name], rng)}


@_harm
def _manifest_bit(files: Files, rng: np.random.Generator, _: Path) -> Files:
    return {**files, MANIFEST: _flipped(files[MANIFEST], rng)}


@_harm
def _cut_off(files: Files, rng: np.random.Generator, _: Path) -> Files:
    name = str(rng.choice(sorted(files)))
    return {**files, name: files[name][: int(rng.integers(len(files[name]) - 1))]}


@_harm
def _something_appended(files: Files, rng: np.random.Generator, _: Path) -> Files:
    name = _any_file(files, rng)
    return {**files, name: files[name] + rng.bytes(int(rng.integers(1, 99)))}


@_harm
def _missing_file(files: Files, rng: np.random.Generator, _: Path) -> Files:
    del files[str(rng.choice(sorted(files)))]
    return files


@_harm
def _exchanged_files(files: Files, rng: np.random.Generator, _: Path) -> Files:
    one, other = rng.choice(sorted(files), 2, replace=False)
    files[one], files[other] = files[other], files[one]
    return files


@_harm
def _extra_file(files: Files, rng: np.random.Generator, _: Path) -> Files:
    name = str(rng.choice(["more.onnx", "setup.py", ".hidden", "bundle.json~", "lib.so", "a b"]))
    return {**files, name: rng.bytes(10)}


@_harm
def _not_a_plain_file(files: Files, rng: np.random.Generator, _: Path) -> Files:
    """`_write` makes a link, a pipe or a folder of it."""
    name = _any_file(files, rng)
    return {**files, name: rng.choice([b"->/etc/passwd", b"->../x", b"|", b"/"])}


@_harm
def _value(files: Files, rng: np.random.Generator, _: Path) -> Files:
    """A value of the manifest becomes one that it cannot have."""
    document = json.loads(files[MANIFEST])
    places = list(_needed_places(document))
    *way, last = places[rng.integers(len(places))]
    holder = document
    for key in way:
        holder = holder[key]
    wrong: list[Any] = [
        None,
        -1,
        [],
        {},
        True,
        float("nan"),
        float("inf"),
        "\0",
        [[[]]],
        -(10**400),
    ]
    wrong += [{"__reduce__": "os.system"}, "../../etc/passwd", [1e308] * 3]
    holder[last] = wrong[rng.integers(len(wrong))]
    return {**files, MANIFEST: _manifest(document)}


@_harm
def _key(files: Files, rng: np.random.Generator, _: Path) -> Files:
    """A key of the manifest is missing."""
    document = json.loads(files[MANIFEST])
    places = [place for place in _needed_places(document) if isinstance(place[-1], str)]
    *way, last = places[rng.integers(len(places))]
    holder = document
    for key in way:
        holder = holder[key]
    del holder[last]
    return {**files, MANIFEST: _manifest(document)}


def _needed_places(document: Any) -> Iterator[tuple[Any, ...]]:
    yield from (("format_version",), ("name",), ("files",), ("objects",), ("locator",))
    for name in document["files"]:
        yield from (("files", name), ("files", name, "sha256"), ("files", name, "bytes"))
    for network in (("locator",), ("objects", 0, "network")):
        for key in ("file", "kind", "input_size", "macs", "params", "extra"):
            yield (*network, key)
        yield (*network, "extra", "stride")
    for key in ("name", "diameter", "keypoints"):
        yield ("objects", 0, "model", key)


@_harm
def _huge_shape(files: Files, rng: np.random.Generator, _: Path) -> Files:
    document = json.loads(files[MANIFEST])
    network = [document["locator"], document["objects"][0]["network"]][rng.integers(2)]
    change = rng.integers(5)
    if change == 0:
        network["input_size"] = [int(side) for side in rng.choice([4096, 2**31, 2**63, 8], 2)]
    elif change == 1:
        network["extra"]["stride"] = float(rng.choice([1e-300, 1e-9, 0.001, 1e9, 1e299]))
    elif change == 2:
        document["objects"] = document["objects"] * int(rng.choice([2, 65, 10_000]))
    elif change == 3:
        document["objects"][0]["model"]["keypoints"] *= int(rng.choice([2, 1000]))
    else:
        name = rng.choice(sorted(document["files"]))
        document["files"][name]["bytes"] = int(rng.choice([0, 2**40, 2**62]))
    return {**files, MANIFEST: _manifest(document)}


@_harm
def _path_trick(files: Files, rng: np.random.Generator, _: Path) -> Files:
    document = json.loads(files[MANIFEST])
    tricks = [
        "../pose.onnx",
        "/etc/passwd",
        "..\\pose.onnx",
        "a/pose.onnx",
        ".pose.onnx",
        "p\0.onnx",
    ]
    tricks += ["pose.onnx/", "./pose.onnx", "pose.onnx\n", "%2e%2e.onnx", "~pose.onnx", "poſe.onnx"]
    name = str(rng.choice(tricks))
    old = document["objects"][0]["network"]["file"]
    document["objects"][0]["network"]["file"] = name
    document["files"][name] = document["files"].pop(old)
    return {**files, MANIFEST: _manifest(document)}


@_harm
def _strange_json(files: Files, rng: np.random.Generator, canary: Path) -> Files:
    text = files[MANIFEST].decode()
    strange = [
        b"\xef\xbb\xbf" + text.encode(),
        text.encode("utf-16"),
        text.replace('"name"', '"name": 1, "name"', 1).encode(),
        text.encode() + b"{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 100_000,
        b"",
        b"null",
        _pickled(canary),
        b" " * 5_000_000 + text.encode(),
        text.replace(":", "=", 1).encode(),
    ]
    return {**files, MANIFEST: strange[rng.integers(len(strange))]}


class _Payload:
    """Touches a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self._canary = canary

    def __reduce__(self) -> Any:
        return (open, (str(self._canary), "w"))


def _pickled(canary: Path) -> bytes:
    return pickle.dumps(_Payload(canary))


@_harm
def _pickle_inside(files: Files, rng: np.random.Generator, canary: Path) -> Files:
    content = _pickled(canary)
    if rng.random() < 0.5:  # as torch.save writes it
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("archive/data.pkl", content)
        content = buffer.getvalue()
    return _sealed({**files, _any_file(files, rng): content})


@_harm
def _forged_network(files: Files, rng: np.random.Generator, _: Path) -> Files:
    name = str(rng.choice([n for n in sorted(files) if n.endswith(".onnx")]))
    model = onnx.load_from_string(files[name])
    change = rng.integers(6)
    if change == 0:
        model.graph.node[rng.integers(len(model.graph.node))].domain = "evil.custom"
    elif change == 1:
        tensor = model.graph.initializer[rng.integers(len(model.graph.initializer))]
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", "../../../etc/passwd"
        tensor.data_location = onnx.TensorProto.EXTERNAL
    elif change == 2:
        shape = model.graph.input[0].type.tensor_type.shape
        shape.dim[rng.integers(1, 4)].dim_value = int(rng.choice([0, 2**31, 2**62, 7]))
    elif change == 3:
        shape = model.graph.output[0].type.tensor_type.shape
        shape.dim[rng.integers(1, 4)].dim_value = int(rng.choice([0, 2**31, 2**62, 7]))
    elif change == 4:
        model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    else:
        model.ClearField("graph")
    return _sealed({**files, name: model.SerializeToString()})


@_harm
def _sealed_network_bits(files: Files, rng: np.random.Generator, _: Path) -> Files:
    """What a network computes is anyone's guess then; it must not take the process with it."""
    name = str(rng.choice([n for n in sorted(files) if n.endswith(".onnx")]))
    return _sealed({**files, name: _flipped(files[name], rng, bits=int(rng.integers(1, 5)))})


@_harm
def _forged_tensors(files: Files, rng: np.random.Generator, _: Path) -> Files:
    name = str(rng.choice([MESHES, WEIGHTS]))
    content = files[name]
    (size,) = struct.unpack("<Q", content[:8])
    head = json.loads(content[8 : 8 + size])
    tensor = head[next(key for key in sorted(head) if key != "__metadata__")]
    change = rng.integers(6)
    if change == 0:
        return _sealed({**files, name: struct.pack("<Q", 2**63) + content[8:]})
    if change == 1:
        tensor["shape"] = [2**40, 2**40]
    elif change == 2:
        tensor["data_offsets"] = [0, 2**60]
    elif change == 3:
        tensor["dtype"] = "PICKLE"
    elif change == 4:
        tensor["data_offsets"] = [-1, 5]
    else:
        tensors = safetensors.numpy.load(files[MESHES])
        key = str(rng.choice([key for key in sorted(tensors) if not key.endswith("colors")]))
        wrong = np.nan if key.endswith("vertices") else 2**31 - 1
        tensors[key] = np.full_like(tensors[key], wrong)
        return _sealed({**files, MESHES: safetensors.numpy.save(tensors)})
    text = json.dumps(head).encode()
    return _sealed({**files, name: struct.pack("<Q", len(text)) + text + content[8 + size :]})


@_harm
def _zip_bit(files: Files, rng: np.random.Generator, _: Path) -> bytes:
    return _flipped(_zipped(files), rng)


@_harm
def _zip_cut_off(files: Files, rng: np.random.Generator, _: Path) -> bytes:
    whole = _zipped(files)
    return whole[: int(rng.integers(len(whole)))]


@_harm
def _zip_trick(files: Files, rng: np.random.Generator, canary: Path) -> bytes:
    buffer = io.BytesIO(_zipped(files))
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "a") as archive:
        warnings.simplefilter("ignore")  # a name that occurs twice
        trick = rng.integers(8)
        if trick == 0:
            archive.writestr(_any_file(files, rng), rng.bytes(10))
        elif trick == 1:
            archive.writestr(f"../../{canary.name}", b"out of the folder")
        elif trick == 2:
            archive.writestr(str(canary), b"an absolute path")
        elif trick == 3:
            entry = zipfile.ZipInfo("link.onnx")
            entry.external_attr = 0o120777 << 16
            archive.writestr(entry, str(canary))
        elif trick == 4:
            for number in range(300):
                archive.writestr(f"f{number}.onnx", b"")
        elif trick == 5:
            archive.writestr("bomb.onnx", bytes(MAX_BYTES + 2**20), zipfile.ZIP_DEFLATED)
        elif trick == 6:
            archive.writestr("folder/", b"")
        else:
            archive.writestr("x.onnx", b"x" * 999, int(rng.choice([zipfile.ZIP_BZIP2, 14])))
    return buffer.getvalue()


@_harm
def _zip_claim(files: Files, rng: np.random.Generator, _: Path) -> bytes:
    """The directory of the archive says something else of a file than what is there."""
    content = bytearray(_zipped(files))
    entries = [at for at in range(len(content) - 4) if content[at : at + 4] == b"PK\1\2"]
    entry = entries[rng.integers(len(entries))]
    # Offsets in an entry (PKWARE APPNOTE 4.3.12): flags, method, CRC, both sizes, start.
    offset, form = [(8, "<H"), (10, "<H"), (16, "<I"), (20, "<I"), (24, "<I"), (42, "<I")][
        rng.integers(6)
    ]
    (real,) = struct.unpack_from(form, content, entry + offset)
    wrong = [real ^ 1, 2 ** (8 * struct.calcsize(form)) - 1, real + 9, max(0, real - 9)]
    wrong = [value for value in wrong if value != real and value < 2 ** (8 * struct.calcsize(form))]
    struct.pack_into(form, content, entry + offset, wrong[rng.integers(len(wrong))])
    return bytes(content)


def _zipped(files: Files) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def _write(folder: Path, files: Files) -> None:
    folder.mkdir()
    for name, content in files.items():
        place = folder / name
        if content.startswith(b"->"):
            place.symlink_to(content[2:].decode())
        elif content == b"|":
            os.mkfifo(place)
        elif content == b"/":
            place.mkdir()
        else:
            place.write_bytes(content)


def _remove(path: Path) -> None:
    if path.is_file():
        path.unlink()
        return
    for entry in path.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            entry.rmdir()
        else:
            entry.unlink()
    path.rmdir()
