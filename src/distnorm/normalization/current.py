"""State and notes of one normalization: read together, replaced together, by one writer at a time.

Readers take the pair once and work on it: whoever scores while another thread fits gets the old
statistics or the new ones, never one side of each. Writers that build on what is there (adding,
removing, forgetting rows) wait for each other, so that no rows are lost.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from distnorm.errors import DistnormError
from distnorm.normalization.auto import choose, resolve
from distnorm.normalization.correction import Correction
from distnorm.normalization.notes import Notes
from distnorm.normalization.state import State

__all__ = ["Current", "Known", "OfKnown", "OfState"]

T = TypeVar("T")


class Known(NamedTuple):
    """A state and what is known about it."""

    state: State
    notes: Notes


class Current:
    """The state and notes in force; pickles and copies have a lock of their own."""

    def __init__(self, state: State, notes: Notes) -> None:
        self.known = Known(state, notes)
        self._lock = threading.RLock()
        self._corrections: dict[str, Correction] = {}

    def __reduce__(self) -> tuple[type[Current], Known]:
        """Pickle and copy by state and notes."""
        return type(self), self.known

    def correction(self, side: str, known: Known) -> Correction:
        """What serves queries of ``side`` with these statistics, kept while it stays the same."""
        kept = self._corrections.get(side)
        fresh = resolve(known.state, side, lambda: self.choice(known))
        if kept is not None and kept.same_as(fresh):
            return kept
        self._corrections[side] = fresh
        return fresh

    def choice(self, known: Known) -> dict[str, Any]:
        """What ``auto`` chose for these statistics, now if not before."""
        for state, notes in (known, self.known):
            if state is known.state and notes.selection is not None:
                return notes.selection
        chosen = choose(known.state, None, {})
        with self._lock:
            if self.known.state is known.state:
                self.add(known.state, selection=chosen)
        return chosen

    def change(self, make: Callable[[State], State]) -> None:
        """Put ``make(state)`` in the state's place; what was known of other statistics is void."""
        with self._lock:
            state, notes = self.known
            changed = make(state)
            same = changed.statistics is state.statistics
            self.known = Known(changed, notes if same else notes.void())

    def note(self, notes: Notes) -> None:
        """Put other notes in the place of these."""
        with self._lock:
            self.known = Known(self.known.state, notes)

    def add(self, state: State, **changes: Any) -> None:
        """Note what was learned of ``state``, which must still be in force."""
        with self._lock:
            if self.known.state is not state:
                raise DistnormError(
                    f"{', '.join(changes)} of statistics that changed meanwhile",
                    "the same statistics from beginning to end",
                    "do it again when nobody fits",
                )
            self.known = Known(state, replace(self.known.notes, **changes))


class Held(Protocol):
    """What has a state and notes."""

    @property
    def current(self) -> Current: ...


class OfKnown(Generic[T]):
    """The state or the notes of an object that has a ``current``; setting replaces them whole."""

    def __set_name__(self, owner: type, name: str) -> None:
        """Remember which."""
        self._name = name

    def __get__(self, owner: Held, kind: type | None = None) -> T:
        """What is in force; of the class itself this descriptor."""
        value: T = self if owner is None else self._read(owner.current.known)
        return value

    def _read(self, known: Known) -> Any:
        return getattr(known, self._name)

    def __set__(self, owner: Held, value: T) -> None:
        """Put another one in its place; another state voids the notes of other statistics."""
        if isinstance(value, State):
            state = value
            owner.current.change(lambda _: state)
        elif isinstance(value, Notes):
            owner.current.note(value)


class OfState(OfKnown[T]):
    """An attribute that is read from the state and, if settable, put into a new one."""

    def __init__(self, *, settable: bool = False) -> None:
        self._settable = settable

    def __set__(self, owner: Held, value: T) -> None:
        """Replace the state by one with another value."""
        if not self._settable:
            raise AttributeError(f"{self._name} is part of the state")
        changed: dict[str, Any] = {self._name: value}
        owner.current.change(lambda state: replace(state, **changed))

    def _read(self, known: Known) -> Any:
        return getattr(known.state, self._name)
