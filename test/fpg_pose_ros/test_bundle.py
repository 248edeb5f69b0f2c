# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from onnx import TensorProto, helper
from remembering import memory, with_memory

from fpg_pose_ros import bundle_files
from fpg_pose_ros.bundle import MANIFEST, MESHES, pack_meshes, read_bundle, write_bundle
from fpg_pose_ros.bundle_schema import seal
from fpg_pose_ros.errors import BundleError


@pytest.fixture
def parts(cube_parts):
    return copy.deepcopy(cube_parts[0]), dict(cube_parts[1])


@pytest.fixture
def place(parts, tmp_path):
    write_bundle(tmp_path / "cube", *parts)
    return tmp_path / "cube"


@pytest.fixture
def zipped(parts, tmp_path):
    write_bundle(tmp_path / "cube.zip", *parts)
    return tmp_path / "cube.zip"


def change_manifest(place: Path, change) -> None:
    document = json.loads((place / MANIFEST).read_text())
    change(document)
    document["seal"] = seal(document)
    (place / MANIFEST).write_text(json.dumps(document))


def replace_file(place: Path, name: str, content: bytes) -> None:
    """Replaces a file as one who knows the format would: hash and size agree."""
    (place / name).write_bytes(content)
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    change_manifest(place, lambda document: document["files"].update({name: entry}))


def rezip(source: Path, target: Path, **changes: bytes | None) -> Path:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        for name, content in changes.items():
            new.writestr(name, content)
    return target


@pytest.mark.parametrize("name", ["cube", "cube.zip"])
def test_what_is_written_is_read_back(parts, tmp_path, name):
    written = write_bundle(tmp_path / "new" / name, *parts)
    read = read_bundle(tmp_path / "new" / name)
    manifest_bytes = (
        (tmp_path / "new" / name / MANIFEST).read_bytes()
        if name == "cube"
        else zipfile.ZipFile(tmp_path / "new" / name).read(MANIFEST)
    )
    assert read.hash == written.hash == hashlib.sha256(manifest_bytes).hexdigest()
    assert read.files == parts[1]
    assert read.name == "cube by hand"
    assert [item.model.name for item in read.objects] == ["cube"]
    assert read.objects[0].network.input_size == (128, 128)
    assert read.objects[0].network.extra["stride"] == 4
    assert read.locator.kind == "locator"
    assert read.manifest["training"]["command"] == "none: built by hand"
    assert os.listdir(tmp_path / "new") == [name]


def test_a_directory_and_its_zip_have_the_same_hash(place, zipped):
    assert read_bundle(place).hash == read_bundle(zipped).hash


def test_the_same_bundle_makes_the_same_zip(parts, zipped, tmp_path):
    write_bundle(tmp_path / "again.zip", *parts)
    assert (tmp_path / "again.zip").read_bytes() == zipped.read_bytes()


@pytest.mark.parametrize("name", ["pose.onnx", "locator.onnx", MESHES, "weights.safetensors"])
def test_a_truncated_bundle_is_refused_naming_the_file(place, name):
    content = (place / name).read_bytes()
    (place / name).write_bytes(content[:-7])
    with pytest.raises(BundleError, match=f"{name}.*truncated"):
        read_bundle(place)


@pytest.mark.parametrize("name", ["pose.onnx", "locator.onnx", MESHES, "weights.safetensors"])
def test_an_altered_file_is_refused_naming_it(place, name):
    content = bytearray((place / name).read_bytes())
    content[len(content) // 2] ^= 1
    (place / name).write_bytes(bytes(content))
    with pytest.raises(BundleError, match=f"{name}.*altered"):
        read_bundle(place)


def test_a_zip_cut_off_anywhere_is_refused(zipped):
    content = zipped.read_bytes()
    for keep in np.linspace(0, len(content) - 1, 15).astype(int):
        zipped.write_bytes(content[:keep])
        with pytest.raises(BundleError, match=r"cube\.zip"):
            read_bundle(zipped)


def test_a_zip_with_any_one_byte_changed_is_refused_or_unharmed(zipped):
    content = zipped.read_bytes()
    before = read_bundle(zipped)
    rng = np.random.default_rng(0)
    for at in rng.integers(0, len(content), 60):
        changed = bytearray(content)
        changed[at] ^= 1 << int(rng.integers(8))
        zipped.write_bytes(bytes(changed))
        try:
            after = read_bundle(zipped)
        except BundleError:
            continue
        assert (after.hash, after.files) == (before.hash, before.files)  # a date, a comment


def test_a_manifest_with_any_one_byte_changed_gives_a_bundle_error_or_the_same_values(place):
    content = (place / MANIFEST).read_bytes()
    before = read_bundle(place).manifest
    rng = np.random.default_rng(1)
    for at in rng.integers(0, len(content), 120):
        changed = bytearray(content)
        changed[at] = int(rng.integers(256))
        (place / MANIFEST).write_bytes(bytes(changed))
        try:
            after = read_bundle(place).manifest
        except BundleError:
            continue
        assert after == before


def test_a_bundle_of_a_newer_format_says_to_update(place):
    change_manifest(place, lambda document: document.update(format_version=3))
    with pytest.raises(BundleError, match=r"format_version is 3.*update"):
        read_bundle(place)


def test_a_missing_file_is_named(place):
    (place / "weights.safetensors").unlink()
    with pytest.raises(BundleError, match=r"weights\.safetensors is missing"):
        read_bundle(place)


@pytest.mark.parametrize("name", ["notes.txt", "evil.pkl", "extra.onnx"])
def test_a_file_too_many_is_refused(place, name):
    (place / name).write_bytes(b"x")
    with pytest.raises(BundleError, match=f"{name} is not in the manifest"):
        read_bundle(place)


def test_a_file_listed_but_used_by_nothing_is_refused(place):
    replace_file(place, "spare.onnx", (place / "pose.onnx").read_bytes())
    with pytest.raises(BundleError, match=r"spare\.onnx"):
        read_bundle(place)


@pytest.mark.parametrize("name", ["../evil.onnx", "/etc/evil.onnx", "sub/evil.onnx", "a\\b.onnx"])
def test_a_zip_that_reaches_out_of_its_folder_is_refused(zipped, tmp_path, name):
    bad = rezip(zipped, tmp_path / "bad.zip", **{name: b"x"})
    with pytest.raises(BundleError, match="plain file name"):
        read_bundle(bad)


def test_links_and_folders_in_a_bundle_are_refused(place, tmp_path):
    (place / "pose.onnx").rename(tmp_path / "elsewhere.onnx")
    (place / "pose.onnx").symlink_to(tmp_path / "elsewhere.onnx")
    with pytest.raises(BundleError, match=r"pose\.onnx is not a plain file"):
        read_bundle(place)
    (place / "pose.onnx").unlink()
    (place / "pose.onnx").mkdir()
    with pytest.raises(BundleError, match=r"pose\.onnx is not a plain file"):
        read_bundle(place)


def test_a_bundle_larger_than_the_limit_is_refused_before_it_is_read(place, zipped, monkeypatch):
    monkeypatch.setattr(bundle_files, "MAX_BYTES", 1000)
    for path in (place, zipped):
        with pytest.raises(BundleError, match="larger than"):
            read_bundle(path)


def test_a_zip_bomb_is_refused_by_what_it_claims(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, b"{}")
        archive.writestr("pose.onnx", bytes(160 * 2**20))
    assert (tmp_path / "bomb.zip").stat().st_size < 10**6
    with pytest.raises(BundleError, match="larger than 128 MiB"):
        read_bundle(tmp_path / "bomb.zip")


def test_a_zip_bomb_that_claims_to_be_small_is_refused(zipped):
    with zipfile.ZipFile(zipped.with_name("lie.zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, b"{}")
        archive.writestr("pose.onnx", bytes(160 * 2**20))
    content = zipped.with_name("lie.zip").read_bytes()
    true_size, small = (160 * 2**20).to_bytes(4, "little"), (500).to_bytes(4, "little")
    assert content.count(true_size) == 2  # in the file's own header and in the directory
    zipped.write_bytes(content.replace(true_size, small))
    with pytest.raises(BundleError):
        read_bundle(zipped)


def test_a_zip_that_names_a_file_twice_is_refused(zipped, tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"):
        bad = rezip(zipped, tmp_path / "bad.zip", **{"pose.onnx": b"other"})
    with pytest.raises(BundleError, match="twice"):
        read_bundle(bad)


def test_too_many_files_are_refused(zipped, place, tmp_path):
    many = {f"f{i}.onnx": b"x" for i in range(300)}
    with pytest.raises(BundleError, match="more than 256 files"):
        read_bundle(rezip(zipped, tmp_path / "many.zip", **many))
    for name, content in many.items():
        (place / name).write_bytes(content)
    with pytest.raises(BundleError, match="more than 256 files"):
        read_bundle(place)


def test_a_zip_of_very_many_files_is_refused_before_they_are_listed(zipped, tmp_path, monkeypatch):
    many = rezip(zipped, tmp_path / "many.zip", **{f"f{i}.onnx": b"x" for i in range(600)})

    def too_late(*_):
        raise AssertionError("the list was made")

    monkeypatch.setattr(bundle_files.zipfile, "ZipFile", too_late)
    with pytest.raises(BundleError, match="more than 256 files"):
        read_bundle(many)


def test_a_zip_file_larger_than_any_bundle_is_not_opened(zipped):
    with open(zipped, "ab") as file:
        file.truncate(bundle_files.MAX_ZIP_BYTES + 1)
    with pytest.raises(BundleError, match="larger than 129 MiB"):
        read_bundle(zipped)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFDIR, stat.S_IFCHR])
def test_a_zip_with_anything_but_plain_files_is_refused(zipped, kind):
    with zipfile.ZipFile(zipped, "a") as archive:
        entry = zipfile.ZipInfo("weights2.safetensors")
        entry.external_attr = (kind | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(BundleError, match="special file"):
        read_bundle(zipped)


def test_names_that_are_one_where_case_does_not_count_are_refused(zipped, place, tmp_path):
    with pytest.raises(BundleError, match="upper and lower case"):
        read_bundle(rezip(zipped, tmp_path / "bad.zip", **{"Pose.onnx": b"x"}))
    (place / "POSE.onnx").write_bytes(b"x")
    with pytest.raises(BundleError, match="upper and lower case"):
        read_bundle(place)


def test_a_zip_with_a_file_of_no_name_is_refused(zipped):
    content = zipped.read_bytes()
    at = content.rindex(b"PK\x01\x02")  # of the last file; its name's length, then no name
    changed = content[: at + 28] + b"\0\0" + content[at + 30 :]
    zipped.write_bytes(changed)
    with pytest.raises(BundleError):
        read_bundle(zipped)


def test_a_name_that_is_no_text_is_refused_in_words_that_are(place):
    os.mkdir(os.fsencode(place) + b"/\xff")
    with pytest.raises(BundleError, match="not a plain file name") as caught:
        read_bundle(place)
    str(caught.value).encode()


def test_a_pipe_in_a_bundle_is_refused_and_not_waited_for(place):
    (place / "pose.onnx").unlink()
    os.mkfifo(place / "pose.onnx")
    with pytest.raises(BundleError, match=r"pose\.onnx is not a plain file"):
        read_bundle(place)


@pytest.mark.parametrize("put", [lambda path: path.symlink_to("/etc/passwd"), os.mkfifo])
def test_a_file_that_becomes_a_link_or_a_pipe_while_it_is_read_is_refused(place, monkeypatch, put):
    check = bundle_files._check_sizes

    def exchange(*arguments):
        check(*arguments)
        (place / "pose.onnx").unlink()
        put(place / "pose.onnx")

    monkeypatch.setattr(bundle_files, "_check_sizes", exchange)
    with pytest.raises(BundleError, match=r"pose\.onnx (cannot be read|is not a plain file)"):
        read_bundle(place)


def set_in(*path, value):
    def change(document):
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = value

    return change


def nested(levels):
    return {"deeper": nested(levels - 1)} if levels else {}


NETWORK = ("objects", 0, "network")
TURNS = [np.eye(4).tolist()] * 65


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_in("name", value=7), "name"),
        (set_in("name", value="a\nb"), "name"),
        (set_in("name", value="../../etc/passwd"), "slashes"),
        (set_in("format_version", value="1"), "format_version"),
        (set_in("format_version", value=True), "format_version"),
        (set_in("objects", value=[]), "objects"),
        (set_in("objects", value=[3]), r"objects\[0\]"),
        (set_in("objects", 0, "model", value=[]), r"objects\[0\].model"),
        (set_in("objects", 0, "model", "diameter", value=1e4), "diameter"),
        (set_in("objects", 0, "model", "keypoints", value=[[0, 0]]), "keypoints"),
        (set_in("objects", 0, "model", "keypoints", value="many"), "cube"),
        (set_in("objects", 0, "model", "keypoints", value=[[0, 0, 0]] * 600), "keypoints"),
        (set_in("objects", 0, "model", "keypoints", value=[[0, 0, 99]] * 8), "keypoints"),
        (set_in("objects", value=[{}] * 65), "objects"),
        (set_in("objects", 0, "model", "symmetries", value={"discrete": TURNS}), "65 discrete"),
        (set_in("objects", 0, "model", "parts", value={"head": [99]}), "head"),
        (set_in("objects", 0, "model", "parts", value=[1]), "cube"),
        (set_in("objects", 0, "model", "symmetries", value={"discrete": [[1]]}), "discrete"),
        (set_in("objects", 0, "model", "name", value="ghost"), "no mesh of 'ghost'"),
        (set_in(*NETWORK, "kind", value="direct"), "kind"),
        (set_in(*NETWORK, "kind", value=["heatmap"]), "kind"),
        (set_in(*NETWORK, "kind", value="locator"), "kind"),
        (set_in(*NETWORK, "file", value="../pose.onnx"), "file"),
        (set_in(*NETWORK, "file", value="pose.pkl"), "file"),
        (set_in(*NETWORK, "file", value="other.onnx"), "other.onnx"),
        (set_in(*NETWORK, "input_size", value=[128]), "input_size"),
        (set_in(*NETWORK, "input_size", value=[128, 10**6]), "input_size"),
        (set_in(*NETWORK, "input_size", value=[128, 64]), "pose.onnx takes"),
        (set_in(*NETWORK, "macs", value=-1), "macs"),
        (set_in(*NETWORK, "params", value=1.5), "params"),
        (set_in(*NETWORK, "std", value=[1, 0, 1]), "std"),
        (set_in(*NETWORK, "precision", value="float8"), "precision"),
        (set_in("quantisation", value="int8"), "quantisation"),
        (set_in(*NETWORK, "mean", value=[1, 2]), "mean"),
        (set_in(*NETWORK, "mean", value=[10**400, 2, 3]), "mean"),
        (set_in(*NETWORK, "extra", value={"crop_margin": 1.2}), "stride"),
        (set_in(*NETWORK, "extra", "stride", value=0), "stride"),
        (set_in(*NETWORK, "extra", "stride", value=2), "pose.onnx gives"),
        (set_in(*NETWORK, "extra", "sigma_px", value="wide"), "sigma_px"),
        (set_in(*NETWORK, "extra", "silhouette_sigma", value=-0.1), "silhouette_sigma"),
        (set_in(*NETWORK, "extra", "silhouette_bias", value="left"), "silhouette_bias"),
        (set_in(*NETWORK, "extra", "score_raw_0", value=0.1), "score_probability_0"),
        (set_in(*NETWORK, "extra", "covariance_depth", value=0.0), "calibrate the bundle again"),
        (set_in("locator", value=None), "locator"),
        (set_in("locator", "kind", value="heatmap"), "crop_margin"),
        (set_in("files", value=[]), "files"),
        (set_in("files", "pose.onnx", value={}), "sha256"),
        (set_in("files", "pose.onnx", "sha256", value="00"), "sha256"),
        (set_in("files", "pose.onnx", "bytes", value=0), "bytes"),
        (set_in("files", "../../evil.onnx", value={"sha256": "0" * 64, "bytes": 1}), "evil"),
        (set_in("training", value="long"), "training"),
        (set_in("training", "images", value="many"), "training.images"),
        (set_in("training", "images", value=-1), "training.images"),
        (set_in("training", "minutes", value="long"), "training.minutes"),
        (set_in("training", "command", value="half a character: \ud800"), "damaged"),
        (set_in("metrics", value={"of": {"add01": 10**400}}), "metrics"),
        (set_in("metrics", value=nested(20)), "at most 16 levels"),
    ],
)
def test_a_value_that_cannot_be_is_refused_naming_it(place, change, message):
    change_manifest(place, change)
    with pytest.raises(BundleError, match=message):
        read_bundle(place)


def test_a_bias_lies_on_either_side_of_zero(place):
    change_manifest(place, set_in(*NETWORK, "extra", "silhouette_bias", value=-0.03))
    assert read_bundle(place).objects[0].network.extra["silhouette_bias"] == -0.03


def leaves(value, path=()):
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield (*path, key)
        if isinstance(item, dict | list):
            yield from leaves(item, (*path, key))


def test_no_value_anywhere_in_a_manifest_gives_another_error_than_a_bundle_error(place):
    document = json.loads((place / MANIFEST).read_text())
    strange = [None, True, -1, 10**400, 1e308, "", "../x", [], {}, [[]], {"": []}]
    refused = accepted = 0
    for path in leaves(document):
        if "keypoints" in path and path[-2:] != (7, 2):
            continue  # one of them is like the others
        for value in strange:
            changed = copy.deepcopy(document)
            set_in(*path, value=value)(changed)
            if path != ("seal",):
                changed["seal"] = seal(changed)
            (place / MANIFEST).write_text(json.dumps(changed))
            try:
                read_bundle(place)
                accepted += 1
            except BundleError:
                refused += 1
    assert refused > 300
    assert accepted > 0  # of what is only handed on: creation date, metrics


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"format_version": NaN}',
        '{"name": "a", "name": "b"}',
        "[" * 200_000,
        "\xff",
        '{"format_version": ' + "9" * 5000 + "}",
    ],
)
def test_a_manifest_that_is_no_json_object_is_refused(place, text):
    (place / MANIFEST).write_bytes(text.encode("latin-1"))
    with pytest.raises(BundleError, match=r"bundle\.json"):
        read_bundle(place)


def test_two_objects_of_one_name_are_refused(place):
    change_manifest(place, lambda d: d["objects"].append(copy.deepcopy(d["objects"][0])))
    with pytest.raises(BundleError, match="different"):
        read_bundle(place)


def test_a_mesh_file_that_is_none_is_refused(place):
    replace_file(place, MESHES, b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ")
    with pytest.raises(BundleError, match=r"no mesh of 'cube'"):
        read_bundle(place)
    replace_file(place, MESHES, b"not safetensors at all")
    with pytest.raises(BundleError, match=MESHES):
        read_bundle(place)


def test_a_broken_mesh_is_refused(place, cube_bundle):
    tensors = safetensors.numpy.load(pack_meshes([cube_bundle.objects[0].model]))
    tensors["cube/faces"] = tensors["cube/faces"] + 100
    replace_file(place, MESHES, safetensors.numpy.save(tensors))
    with pytest.raises(BundleError, match="faces"):
        read_bundle(place)


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("vertices", lambda v: np.tile(v, (2000, 1)), "vertices"),
        ("vertices", lambda v: v * 1e4, "m from the origin"),
        ("vertices", lambda v: v * np.nan, "finite"),
        ("faces", lambda f: np.tile(f, (1000, 1)), "F <= 3000"),
    ],
)
def test_a_mesh_beyond_the_limits_is_refused(place, cube_bundle, part, change, message):
    tensors = safetensors.numpy.load(pack_meshes([cube_bundle.objects[0].model]))
    tensors[f"cube/{part}"] = change(tensors[f"cube/{part}"])
    replace_file(place, MESHES, safetensors.numpy.save(tensors))
    with pytest.raises(BundleError, match=message):
        read_bundle(place)


def network(inputs, outputs) -> bytes:
    def info(name, shape, kind=TensorProto.FLOAT):
        return helper.make_tensor_value_info(name, kind, shape)

    constants = [
        helper.make_tensor(name, TensorProto.FLOAT, shape, np.zeros(shape).ravel())
        for name, shape in outputs.items()
    ]
    nodes = [helper.make_node("Constant", [], [c.name], value=c) for c in constants]
    graph = helper.make_graph(
        nodes,
        "g",
        [info(name, shape) for name, shape in inputs.items()],
        [info(name, shape) for name, shape in outputs.items()],
    )
    return helper.make_model(graph).SerializeToString()


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ({"x": (1, 3, 64, 64)}, {"y": (1, 8, 32, 32)}, "takes"),
        ({"x": ("batch", 3, 128, 128)}, {"y": (1, 8, 32, 32)}, "takes"),
        ({"x": (1, 3, 128, 128), "z": (1,)}, {"y": (1, 8, 32, 32)}, "takes"),
        ({"x": (1, 3, 128, 128)}, {"y": (1, 9, 32, 32)}, "gives"),
        ({"x": (1, 3, 128, 128)}, {"y": (1, 8, 32, 32), "z": (1, 8, 32, 32)}, "gives"),
    ],
)
def test_a_network_of_other_shapes_than_described_is_refused(place, inputs, outputs, message):
    replace_file(place, "pose.onnx", network(inputs, outputs))
    with pytest.raises(BundleError, match=rf"pose\.onnx {message}"):
        read_bundle(place)


@pytest.fixture
def told(parts, tmp_path):
    """A bundle whose pose network is told of earlier images."""
    write_bundle(tmp_path / "told", *with_memory(*parts))
    return tmp_path / "told"


def test_what_a_network_remembers_is_read_back(told, place):
    read = read_bundle(told).objects[0].network
    assert read.memory == memory((1, 2, 4))
    assert read.input_shapes == ((1, 3, 128, 128), (1, 3, 3, 8, 8))
    assert read.to_json()["memory"] == read_bundle(told).manifest["objects"][0]["network"]["memory"]
    alone = read_bundle(place).objects[0].network
    assert alone.memory is None
    assert "memory" not in alone.to_json()


MEMORY = (*NETWORK, "memory")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_in(*MEMORY, value=None), "memory must be an object of lags, channels, size, stride"),
        (set_in(*MEMORY, value={"lags": [1]}), "memory must be an object"),
        (set_in(*MEMORY, "command", value="rm"), "memory must be an object"),
        (set_in(*MEMORY, "lags", value=[]), r"memory\.lags"),
        (set_in(*MEMORY, "lags", value=[1, 1, 2]), r"memory\.lags"),
        (set_in(*MEMORY, "lags", value=[2, 1, 4]), r"memory\.lags"),
        (set_in(*MEMORY, "lags", value=[0, 1, 2]), r"memory\.lags must be in 1\.\.64"),
        (set_in(*MEMORY, "lags", value=[1, 2, 65]), r"memory\.lags must be in 1\.\.64"),
        (set_in(*MEMORY, "lags", value=[1, 2, 4.0]), r"memory\.lags"),
        (set_in(*MEMORY, "lags", value=[True, 2, 4]), r"memory\.lags"),
        (set_in(*MEMORY, "channels", value=0), r"memory\.channels"),
        (set_in(*MEMORY, "channels", value=10**400), r"memory\.channels"),
        (set_in(*MEMORY, "channels", value=10**6), r"memory\.channels times cells"),
        (set_in(*MEMORY, "size", value=[8]), r"memory\.size"),
        (set_in(*MEMORY, "size", value=[8, 16]), r"memory\.size"),
        (set_in(*MEMORY, "size", value=[-8, -8]), r"memory\.size"),
        (set_in(*MEMORY, "size", value="8x8"), r"memory\.size"),
        (set_in(*MEMORY, "stride", value=8), r"memory\.size"),
        (set_in(*MEMORY, "stride", value=16.0), r"memory\.stride"),
        (set_in(*MEMORY, "fps", value=0), r"memory\.fps"),
        (set_in(*MEMORY, "fps", value=10**400), r"memory\.fps"),
        (set_in(*MEMORY, "fps", value="30"), r"memory\.fps"),
        (set_in(*MEMORY, "channels", value=4), r"pose\.onnx takes"),
        (set_in(*MEMORY, "lags", value=[1, 2]), r"pose\.onnx takes"),
        (lambda document: document["objects"][0]["network"].pop("memory"), r"pose\.onnx takes"),
        (set_in("locator", "memory", value=memory().to_json()), r"locator\.memory must be left"),
    ],
)
def test_a_memory_that_cannot_be_is_refused_naming_it(told, change, message):
    change_manifest(told, change)
    with pytest.raises(BundleError, match=message):
        read_bundle(told)


IMAGE, PAST = {"image": (1, 3, 128, 128)}, {"past": (1, 3, 3, 8, 8)}
HEAT, FEATURES = {"heat": (1, 8, 32, 32)}, {"features": (1, 3, 8, 8)}


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        (IMAGE, {**HEAT, **FEATURES}, "takes"),
        ({**PAST, **IMAGE}, {**HEAT, **FEATURES}, "takes"),
        ({**IMAGE, "past": (1, 3, 3, 8, 4)}, {**HEAT, **FEATURES}, "takes"),
        ({**IMAGE, **PAST}, HEAT, "gives"),
        ({**IMAGE, **PAST}, {**FEATURES, **HEAT}, "gives"),
        ({**IMAGE, **PAST}, {**HEAT, "features": (1, 3, 8, 4)}, "gives"),
    ],
)
def test_a_network_that_does_not_fit_its_memory_is_refused(told, inputs, outputs, message):
    replace_file(told, "pose.onnx", network(inputs, outputs))
    with pytest.raises(BundleError, match=rf"pose\.onnx {message}"):
        read_bundle(told)


def test_a_file_that_is_no_network_is_refused(place):
    replace_file(place, "pose.onnx", b"\x80\x04\x95 a pickle, say")
    with pytest.raises(BundleError, match=r"pose\.onnx cannot be used"):
        read_bundle(place)


def test_there_is_no_such_bundle(tmp_path):
    with pytest.raises(BundleError, match="no such bundle"):
        read_bundle(tmp_path / "nowhere")
    with pytest.raises(BundleError, match=r"bundle\.json is missing"):
        read_bundle(tmp_path)


def test_a_bundle_that_could_not_be_read_is_not_written(parts, place):
    manifest, files = parts
    before = read_bundle(place).hash
    manifest["name"] = "new"
    for broken in ({**files, "pose.onnx": b"no"}, {**files, "more.onnx": files["pose.onnx"]}):
        with pytest.raises(BundleError):
            write_bundle(place, manifest, broken)
    manifest["metrics"] = {"add01": float("nan")}
    with pytest.raises(BundleError, match="JSON"):
        write_bundle(place, manifest, files)
    assert read_bundle(place).hash == before
    assert os.listdir(place.parent) == [place.name]


@pytest.mark.parametrize("name", ["cube", "cube.zip"])
def test_a_bundle_takes_the_place_of_the_one_before(parts, tmp_path, name):
    manifest, files = parts
    first = write_bundle(tmp_path / name, manifest, files)
    manifest["name"] = "second"
    second = write_bundle(tmp_path / name, manifest, files)
    assert read_bundle(tmp_path / name).hash == second.hash != first.hash
    assert os.listdir(tmp_path) == [name]


def test_a_bundle_is_readable_by_others_like_any_file(place):
    umask = os.umask(0)
    os.umask(umask)
    for path in [place, *place.iterdir()]:
        wanted = (0o777 if path.is_dir() else 0o666) & ~umask
        assert stat.S_IMODE(path.stat().st_mode) == wanted
    shutil.rmtree(place)
