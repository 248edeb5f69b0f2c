# SPDX-License-Identifier: Apache-2.0
"""The strategies by name. One is a file with a class and this decorator on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Protocol

from offline_search.strategies.problem import Outcome, Problem, SearchError


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
    """

    name: str
    paper: str
    summary: str
    make: Callable[..., Strategy]


_ENTRIES: dict[str, Entry] = {}


def register(
    name: str, *, paper: str, summary: str
) -> Callable[[Callable[..., Strategy]], Callable[..., Strategy]]:
    """Puts a class under a name."""

    def add(make: Callable[..., Strategy]) -> Callable[..., Strategy]:
        _ENTRIES[name] = Entry(name, paper, summary, make)
        return make

    return add


def strategies() -> tuple[Entry, ...]:
    """All of them by name. A file in this folder is found without being named anywhere."""
    for module in iter_modules([str(Path(__file__).parent)]):
        import_module(f"{__package__}.{module.name}")
    return tuple(_ENTRIES[name] for name in sorted(_ENTRIES))


def make_strategy(name: str, settings: Mapping[str, Any]) -> Strategy:
    """The strategy of that name with those settings.

    Raises:
        SearchError: There is none, or it does not know a setting.
    """
    known = {entry.name: entry for entry in strategies()}
    if name not in known:
        raise SearchError(f"unknown strategy {name!r}; there are {', '.join(known)}")
    try:
        return known[name].make(**settings)
    except TypeError as error:
        raise SearchError(f"strategy {name}: {error}") from None
