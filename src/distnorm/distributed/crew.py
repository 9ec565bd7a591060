"""Actors that embed: each holds the model once and is handed one portion after the other.

An actor that dies is started again by Ray, and what it had in hand is done again, a few times.
What an actor raises comes back as a value, so that it arrives as it is.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

from distnorm.distributed.clusters import check_room, check_version, plain_ray_errors, version
from distnorm.distributed.portions import Encoded, encode_items
from distnorm.distributed.session import TRIES
from distnorm.embedding.items import Item
from distnorm.embedding.pipeline import decoders
from distnorm.encoders import load_encoder
from distnorm.errors import DistnormError, MissingExtraError, require

__all__ = ["Crew", "Facts", "Plan", "caught"]

T = TypeVar("T")

_RESTARTS = 5  # of one actor: Ray alone would go on for ever where memory is short
_AHEAD = 2  # portions in the hands of an actor
_MORE = "what is embedded stays: mend it and run the same command again"


@dataclass(frozen=True)
class Plan:
    """How an actor embeds: a ``model`` that `load_encoder` takes, and options of `embed`.

    ``decoding`` are the processes of each actor that decode pictures; the ``device`` of the model
    is its own choice if left out, ``dtype`` is that of the store's rows.
    """

    model: str
    sides: tuple[str, ...]
    batch_size: int = 64
    prompt: str | None = None
    full: bool = False
    decoding: int = 1
    device: str | None = None
    dtype: str = "float16"


@dataclass(frozen=True)
class Facts:
    """What an actor's model is."""

    model_id: str
    dimension: int
    max_tokens: int | None
    resizer: str | None
    version: str
    host: str


class _Embedder:
    """The actor; everything it is asked for comes as a value or as the error that it raised."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._encoder: Any = None
        self._pool: Any = None
        self._open = ExitStack()

    def facts(self) -> Facts | DistnormError:
        """Load the model, and say what it is."""
        return caught("a worker's model", self._facts)

    def encode(self, place: str, items: list[Item]) -> Encoded | DistnormError:
        """Embed a portion."""
        return caught(place, lambda: self._encode(items))

    def _facts(self) -> Facts:
        encoder, plan = self._loaded(), self._plan
        resizer = getattr(encoder, "resizer", None) if "image" in plan.sides else None
        return Facts(
            encoder.model_id,
            encoder.dimension,
            encoder.max_tokens,
            resizer,
            version(),
            socket.gethostname(),
        )

    def _encode(self, items: list[Item]) -> Encoded:
        encoder, plan = self._loaded(), self._plan
        return encode_items(
            encoder,
            items,
            plan.sides,
            self._pool,
            batch_size=plan.batch_size,
            prompt=plan.prompt,
            dtype=plan.dtype,
        )

    def _loaded(self) -> Any:
        if self._encoder is None:
            plan = self._plan
            options = {} if plan.device is None else {"device": plan.device}
            encoder = load_encoder(plan.model, **options)
            pool = decoders(encoder, plan.sides, plan.batch_size, plan.decoding, full=plan.full)
            if pool is not None:
                self._open.enter_context(pool)
            self._encoder, self._pool = encoder, pool
        return self._encoder


@dataclass(frozen=True)
class _Task:
    number: int
    place: str
    items: list[Item]


class Crew:
    """Actors on a Ray that is up, each with ``cpus`` and ``gpus``, until the context ends.

    Raises a DistnormError if the cluster has no such machine.
    """

    def __init__(self, plan: Plan, workers: int, *, cpus: float = 1.0, gpus: float = 0.0) -> None:
        self._ray = require("ray", "ray")
        self._errors = require("ray.exceptions", "ray")
        check_room(cpus, gpus)
        actor = self._ray.remote(_Embedder).options(
            num_cpus=cpus, num_gpus=gpus, max_restarts=_RESTARTS, max_task_retries=TRIES
        )
        self._actors = [actor.remote(plan) for _ in range(workers)]
        self._starting = {one.facts.remote(): one for one in self._actors}
        self._loads = dict[Any, int]()  # portions in hand, by actor that is ready
        self._running = dict[Any, tuple[Any, _Task]]()
        self._waiting = deque[_Task]()
        self._facts: Facts | None = None

    def __enter__(self) -> Crew:
        """Actors are starting already."""
        return self

    def __exit__(self, *_: object) -> None:
        """End them; those that are still loading end by themselves, as nothing refers to them."""
        for one in self._loads:
            self._ray.kill(one)
        self._actors.clear()
        self._starting.clear()

    def facts(self) -> Facts:
        """What the model is, as soon as one actor has loaded it.

        Raises
        ------
        DistnormError
            For a model or a package that the workers do not have.
        """
        while self._facts is None:
            self._collect()
        return self._facts

    def submit(self, number: int, place: str, items: Sequence[Item]) -> None:
        """Have a portion embedded."""
        self._waiting.append(_Task(number, place, list(items)))
        self._hand_out()

    def wait(self) -> Iterator[tuple[int, Encoded]]:
        """Portions that have got ready, at least one.

        Raises
        ------
        DistnormError
            For one that could not be embedded; names it.
        """
        found = list[tuple[int, Encoded]]()
        while not found:
            found = self._collect()
        return iter(found)

    def _collect(self) -> list[tuple[int, Encoded]]:
        every = [*self._running, *self._starting]
        ready, _ = self._ray.wait(every, num_returns=1)
        if len(every) > 1:
            ready, _ = self._ray.wait(every, num_returns=len(every), timeout=0)
        found = []
        for reference in ready:
            if reference in self._starting:
                self._begin(self._starting.pop(reference), reference)
                continue
            one, task = self._running.pop(reference)
            self._loads[one] -= 1
            found.append((task.number, self._value(reference, task.place)))
        self._hand_out()
        return found

    def _begin(self, one: Any, reference: Any) -> None:
        facts: Facts = self._value(reference, "a worker's model")
        known = self._facts or facts
        check_version(facts.version, version(), facts.host)
        if (facts.model_id, facts.dimension) != (known.model_id, known.dimension):
            raise DistnormError(
                f"the model {facts.model_id!r} on the worker {facts.host}",
                f"{known.model_id!r} as on {known.host}",
                "have the same model on all machines",
            )
        self._facts, self._loads[one] = known, 0

    def _hand_out(self) -> None:
        while self._waiting and self._loads:
            one = min(self._loads, key=lambda actor: self._loads[actor])
            if self._loads[one] >= _AHEAD:
                return
            task = self._waiting.popleft()
            reference = one.encode.remote(task.place, task.items)
            task.items.clear()  # Ray has them
            self._running[reference] = one, task
            self._loads[one] += 1

    def _value(self, reference: Any, place: str) -> Any:
        errors = self._errors
        try:
            with plain_ray_errors():
                try:
                    value = self._ray.get(reference)
                except errors.RayTaskError:
                    raise
                except (errors.RayActorError, errors.WorkerCrashedError, errors.OutOfMemoryError):
                    raise DistnormError(
                        f"{place}, whose worker died again and again, as one without memory does",
                        "workers that live",
                        f"give them memory: fewer --workers, a smaller --batch-size; {_MORE}",
                    ) from None
        except errors.RayError as error:
            words = str(error).strip().splitlines() or [type(error).__name__]
            raise DistnormError(
                f"{place}, at which a worker failed ({words[-1][:200]})", "no error", _MORE
            ) from error
        if isinstance(value, DistnormError):
            raise value
        return value


def caught(place: str, function: Callable[[], T]) -> T | DistnormError:
    """What a function gives, or the error that it raises, with what it was at and the machine."""
    host = socket.gethostname()
    try:
        return function()
    except MissingExtraError as error:
        return MissingExtraError(
            f"{error.got} on the worker {host}", f"{error.expected} on all machines", error.remedy
        )
    except DistnormError as error:
        return type(error)(f"{error.got} (on the worker {host})", error.expected, error.remedy)
    except MemoryError:
        return DistnormError(
            f"{place}, for which the worker {host} has not enough memory",
            "portions that fit",
            f"use fewer --workers, or a smaller --batch-size; {_MORE}",
        )
    except ImportError as error:
        return DistnormError(
            f"the worker {host} without {error.name or error!s}",
            "the same packages on all machines",
            f"install it there; {_MORE}",
        )
    except Exception as error:
        words = " ".join(f"{type(error).__name__}: {error}".split())
        return DistnormError(
            f"{place}, at which the worker {host} failed ({words[:300]})", "no error", _MORE
        )
