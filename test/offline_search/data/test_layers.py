# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fpg_pose_ros.errors import DatasetError
from fpg_pose_ros.geometry import Array, apply_affine, transform
from offline_search.data.layers import LayerStore
from offline_search.data.objects import RenderableObject
from offline_search.data.renderer import EmbreeRenderer
from offline_search.data.scene import Render, Scene
from offline_search.data.slots import cache_folder


class CountingRenderer(EmbreeRenderer):
    """Embree's renderer that counts pictures and can be made to die."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures = 0
        self.die_at = -1

    def render(
        self, scene: Scene, K: Array, A: Array, shape: tuple[int, int], samples: int = 2
    ) -> Render:
        if self.pictures == self.die_at:
            raise KeyboardInterrupt
        self.pictures += 1
        return super().render(scene, K, A, shape, samples)


def store(path: Path, thing: RenderableObject | None, **changes: int) -> LayerStore:
    settings = {"seed": 1, "count": 8, "resolution": 48, **changes}
    return LayerStore(path, thing, **settings)  # type: ignore[arg-type]


def test_a_layer_is_rendered_once_and_then_read(tmp_path: Path, spot: RenderableObject) -> None:
    renderer = CountingRenderer()
    layers = LayerStore(tmp_path, spot, seed=1, count=8, resolution=48, renderer=renderer)
    first = layers[3]
    again = layers[3]
    assert renderer.pictures == 1
    assert layers.ready() == 1
    assert np.array_equal(first.rgba, again.rgba)
    # another process finds it too
    other = LayerStore(tmp_path, spot, seed=1, count=8, resolution=48, renderer=renderer)
    assert np.array_equal(other[3].rgba, first.rgba)
    assert_allclose(other[3].T_camera_object, first.T_camera_object)
    assert renderer.pictures == 1


def test_layers_depend_on_seed_and_index_alone(tmp_path: Path, spot: RenderableObject) -> None:
    here, there = store(tmp_path / "a", spot), store(tmp_path / "b", spot)
    forwards = [here[i].rgba.copy() for i in range(4)]
    backwards = [there[i].rgba.copy() for i in (3, 2, 1, 0)][::-1]
    for a, b in zip(forwards, backwards, strict=True):
        assert np.array_equal(a, b)
    assert not np.array_equal(forwards[0], forwards[1])
    assert not np.array_equal(store(tmp_path, spot, seed=2)[0].rgba, forwards[0])


def test_rendering_resumes_where_it_was_interrupted(tmp_path: Path, spot: RenderableObject) -> None:
    renderer = CountingRenderer()
    renderer.die_at = 3
    layers = LayerStore(tmp_path, spot, seed=1, count=6, resolution=48, renderer=renderer)
    with pytest.raises(KeyboardInterrupt):
        [layers[i] for i in range(6)]
    assert layers.ready() == 3
    resumed_renderer = CountingRenderer()
    resumed = LayerStore(tmp_path, spot, seed=1, count=6, resolution=48, renderer=resumed_renderer)
    pictures = [resumed[i].rgba.copy() for i in range(6)]
    assert resumed_renderer.pictures == 3
    straight = LayerStore(tmp_path / "straight", spot, seed=1, count=6, resolution=48)
    for i, picture in enumerate(pictures):
        assert np.array_equal(picture, straight[i].rgba)


def test_half_a_layer_is_rendered_again(tmp_path: Path, spot: RenderableObject) -> None:
    layers = store(tmp_path, spot)
    whole = layers[2].rgba.copy()
    # as a killed process leaves it: pixels written in part, the flag not yet
    with open(layers.folder / "rgba.bin", "r+b") as file:
        file.seek(2 * whole.size)
        file.write(b"\x55" * (whole.size // 2))
    with open(layers.folder / "ready.bin", "r+b") as file:
        file.seek(2)
        file.write(b"\x00")
    assert np.array_equal(store(tmp_path, spot)[2].rgba, whole)


def test_other_settings_have_caches_of_their_own(tmp_path: Path, spot: RenderableObject) -> None:
    folders = {
        store(tmp_path, spot).folder,
        store(tmp_path, None).folder,
        store(tmp_path, spot, seed=2).folder,
        store(tmp_path, spot, count=9).folder,
        store(tmp_path, spot, resolution=64).folder,
        store(tmp_path, spot, samples=1).folder,
    }
    assert len(folders) == 6


def test_opening_a_cache_again_keeps_what_is_in_it(tmp_path: Path, spot: RenderableObject) -> None:
    layers = store(tmp_path, spot)
    layers[0]
    assert store(tmp_path, spot).ready() == 1
    assert (layers.folder / "rgba.bin").stat().st_size == 8 * 48 * 48 * 4


def test_the_labels_of_a_layer_say_where_the_object_is_in_it(
    tmp_path: Path, spot: RenderableObject
) -> None:
    layers = store(tmp_path, spot, resolution=128)
    for i in range(6):
        layer = layers[i]
        projected = transform(layer.T_camera_object, spot.mesh.vertices) @ layer.K.T
        pixels = apply_affine(layer.A, projected[:, :2] / projected[:, 2:])
        y, x = np.nonzero(layer.rgba[..., 3] > 127)
        assert_allclose([x.min(), y.min()], pixels.min(axis=0), atol=1.5)
        assert_allclose([x.max(), y.max()], pixels.max(axis=0), atol=1.5)
        color, alpha = layer.rgba[..., :3].max(axis=2).astype(int), layer.rgba[..., 3]
        assert (color <= alpha.astype(int) + 1).all(), "premultiplied"


def test_clutter_shows_things_of_many_kinds(tmp_path: Path) -> None:
    layers = store(tmp_path, None, count=12)
    shares = [float((layers[i].rgba[..., 3] > 0).mean()) for i in range(12)]
    assert min(shares) > 0.02
    assert np.std(shares) > 0.05


def test_a_store_crosses_processes(tmp_path: Path, spot: RenderableObject) -> None:
    layers = store(tmp_path, spot)
    picture = layers[1].rgba
    assert np.array_equal(pickle.loads(pickle.dumps(layers))[1].rgba, picture)


@pytest.mark.parametrize("change", [{"count": 0}, {"resolution": 4}, {"samples": 0}])
def test_values_out_of_range_are_refused(
    tmp_path: Path, spot: RenderableObject, change: dict[str, int]
) -> None:
    with pytest.raises(DatasetError, match="are needed"):
        store(tmp_path, spot, **change)


def test_an_index_out_of_range_is_refused(tmp_path: Path, spot: RenderableObject) -> None:
    with pytest.raises(IndexError):
        store(tmp_path, spot)[8]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, spot: RenderableObject) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match=r"cannot be written.*FPG_POSE_CACHE"):
        store(tmp_path / "file", spot)


def test_the_cache_is_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FPG_POSE_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("FPG_POSE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "fpg_pose_ros"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path(os.path.expanduser("~")) / ".cache" / "fpg_pose_ros"
