# SPDX-License-Identifier: Apache-2.0
"""The strategies by name. One is a file with a class and this decorator on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Literal, Protocol

from offline_search.space.fabric_space import FabricSpace
from offline_search.space.search_space import SearchSpace
from offline_search.space.temporal_space import TemporalSpace
from offline_search.strategies.problem import Outcome, Problem, SearchError

SpaceKind = Literal["layers", "fabrics", "cells"]
"""What varies: the operators of layers, fabrics (`FabricSpace`), temporal cells."""


class Strategy(Protocol):
    """Searches; what it needs to know beside the problem are its constructor's arguments."""

    def search(self, problem: Problem, out: Path) -> Outcome:
        """Searches in the folder `out`; run again, it goes on where it was stopped.

        Raises:
            SearchError, TrainingError: With a message that says what to do.
        """
        ...


@dataclass(frozen=True)
class Entry:
    """A registered strategy.

    Attributes:
        name: On the command line.
        paper: Title and where it is to be read.
        summary: A line.
        make: The class; its keyword arguments are the strategy's settings.
        kind: Of the spaces that it searches.
        keypoints: Whether it compares networks that find different numbers of keypoints.
    """

    name: str
    paper: str
    summary: str
    make: Callable[..., Strategy]
    kind: SpaceKind = "layers"
    keypoints: bool = False


_ENTRIES: dict[str, Entry] = {}


def register(
    name: str, *, paper: str, summary: str, kind: SpaceKind = "layers", keypoints: bool = False
) -> Callable[[Callable[..., Strategy]], Callable[..., Strategy]]:
    """Puts a class under a name."""

    def add(make: Callable[..., Strategy]) -> Callable[..., Strategy]:
        _ENTRIES[name] = Entry(name, paper, summary, make, kind, keypoints)
        return make

    return add


def strategies() -> tuple[Entry, ...]:
    """All of them by name. A file in this folder is found without being named anywhere."""
    for module in iter_modules([str(Path(__file__).parent)]):
        import_module(f"{__package__}.{module.name}")
    return tuple(_ENTRIES[name] for name in sorted(_ENTRIES))


def find_strategy(name: str) -> Entry:
    """The strategy of that name.

    Raises:
        SearchError: There is none.
    """
    known = {entry.name: entry for entry in strategies()}
    if name not in known:
        raise SearchError(f"unknown strategy {name!r}; there are {', '.join(known)}")
    return known[name]


def make_strategy(name: str, settings: Mapping[str, Any]) -> Strategy:
    """The strategy of that name with those settings.

    Raises:
        SearchError: There is none, or it does not know a setting.
    """
    try:
        return find_strategy(name).make(**settings)
    except TypeError as error:
        raise SearchError(f"strategy {name}: {error}") from None


def kind_of(space: SearchSpace) -> SpaceKind:
    """What varies in a space."""
    if isinstance(space, FabricSpace):
        return "fabrics"
    return "cells" if isinstance(space, TemporalSpace) else "layers"


def default_strategy(space: SearchSpace) -> str:
    """What searches a space where nothing else is asked for."""
    if space.keypoints:
        return "sm_nas"
    return {"layers": "fpg", "fabrics": "posenfs", "cells": "temporal"}[kind_of(space)]


def check_space(name: str, space: SearchSpace) -> None:
    """Whether the strategy of that name can search that space.

    Raises:
        SearchError: It cannot, or there is none of that name.
    """
    kind = kind_of(space)
    if find_strategy(name).kind != kind:
        able = [entry.name for entry in strategies() if entry.kind == kind]
        raise SearchError(
            f"strategy {name} does not search the space {space.name}; these do: {', '.join(able)}"
        )
    if space.keypoints and not find_strategy(name).keypoints:
        able = [entry.name for entry in strategies() if entry.keypoints]
        raise SearchError(
            f"strategy {name} compares networks by a loss that differs in meaning with the number "
            f"of keypoints, which space {space.name} leaves open: use --strategy "
            f"{' or '.join(able)}, or take `keypoints` out of the space"
        )
