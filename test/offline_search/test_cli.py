# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from fpg_pose_ros.errors import FpgPoseError
from offline_search import cli

ROOT = Path(__file__).parents[2]
COMMANDS = (
    ("object", "create"),
    ("data", "preview"),
    ("retrain",),
    ("space",),
    ("search",),
    ("pipeline",),
    ("export",),
    ("evaluate",),
    ("estimate",),
    ("quantise",),
    ("inspect",),
    ("demo",),
)


def run(*arguments: str) -> object:
    return CliRunner().invoke(cli.app, list(arguments))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_and_each_of_its_options(command: tuple[str, ...]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0  # type: ignore[attr-defined]
    node = typer.main.get_command(cli.app)
    for name in command:
        node = node.commands[name]  # type: ignore[attr-defined]
    assert node.help
    for parameter in node.params:
        assert getattr(parameter, "help", None), f"{' '.join(command)}: {parameter.name}"


def test_help_needs_neither_torch_nor_ros_nor_a_renderer() -> None:
    code = (
        "import sys\n"
        "from offline_search.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'rclpy', 'embreex', 'cv2', 'onnxruntime', 'scipy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_an_error_of_the_input_is_one_line_and_status_2(tmp_path: Path) -> None:
    result = run("inspect", str(tmp_path / "nothing"))
    assert result.exit_code == 2  # type: ignore[attr-defined]
    assert result.stderr.count("\n") == 1  # type: ignore[attr-defined]
    assert "nothing" in result.stderr  # type: ignore[attr-defined]
    assert result.stdout == ""  # type: ignore[attr-defined]


class Failing:
    """Stands where a command's module would, and fails as it would."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def inspect(self, *_: object, **__: object) -> None:
        raise self.error


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> object:
    monkeypatch.setitem(sys.modules, "offline_search.inspect_bundle", Failing(error))  # type: ignore[arg-type]
    return run("inspect", "somewhere")


def test_an_interrupt_says_that_it_can_be_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    result = failing(monkeypatch, KeyboardInterrupt())
    assert result.exit_code == 130  # type: ignore[attr-defined]
    assert "run the same command again" in result.stderr  # type: ignore[attr-defined]


def test_a_training_that_was_stopped_ends_like_an_interrupt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class TrainingStopped(FpgPoseError):
        pass

    result = failing(monkeypatch, TrainingStopped("stopped after 64 images"))
    assert result.exit_code == 130  # type: ignore[attr-defined]
    assert "stopped after 64 images" in result.stderr  # type: ignore[attr-defined]


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    result = failing(monkeypatch, ModuleNotFoundError("no", name="torch.nn"))
    assert result.exit_code == 2  # type: ignore[attr-defined]
    assert "[train]" in result.stderr  # type: ignore[attr-defined]
    assert result.stderr.count("\n") == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("command", "renderer", "extra"),
    [
        (("retrain",), "mitsuba", "photorealistic"),
        (("search", "--budget", "2M", "--space", "tiny"), "moderngl", "rasteriser"),
        (("pipeline", "--architecture", "demo"), "moderngl", "rasteriser"),
    ],
    ids=["retrain", "search", "pipeline"],
)
def test_a_renderer_that_is_not_installed_is_named_with_its_extra(
    command: tuple[str, ...],
    renderer: str,
    extra: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, renderer, None)
    places = ("--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache"))
    result = run(*command, *places, "--renderer", renderer)
    assert result.exit_code == 2  # type: ignore[attr-defined]
    assert f"[{extra}]" in result.stderr  # type: ignore[attr-defined]
    assert result.stderr.count("\n") == 1  # type: ignore[attr-defined]


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    result = failing(monkeypatch, ModuleNotFoundError("no", name="a_module_of_nobody"))
    assert isinstance(result.exception, ModuleNotFoundError)  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", ["{", "[1]", "3"])
def test_settings_that_are_no_json_object_are_refused(text: str, tmp_path: Path) -> None:
    result = run("retrain", "--out", str(tmp_path), "--settings", text)
    assert result.exit_code == 2  # type: ignore[attr-defined]
    assert "--settings" in result.stderr  # type: ignore[attr-defined]


def test_an_unknown_setting_is_named(tmp_path: Path) -> None:
    result = run("retrain", "--out", str(tmp_path), "--settings", '{"learning": 1}')
    assert result.exit_code == 2  # type: ignore[attr-defined]
    assert "learning" in result.stderr  # type: ignore[attr-defined]


def test_a_network_that_is_searched_for_has_a_budget() -> None:
    assert cli._budget(None, None, "30M") == 30_000_000
    assert cli._budget("12", None, "30M") == 12_000_000


def test_a_network_that_is_given_may_cost_anything() -> None:
    assert cli._budget(None, "small", "30M") is None
    assert cli._budget("0.05G", "small", "30M") == 50_000_000


def test_a_budget_below_every_network_is_refused_at_once(tmp_path: Path) -> None:
    result = run("pipeline", "--space", "tiny", "--budget", "0.1M", "--out", str(tmp_path / "out"))
    assert result.exit_code == 2  # type: ignore[attr-defined]
    assert "raise the budget" in result.stderr  # type: ignore[attr-defined]
    assert not (tmp_path / "out").exists()
