"""Opening what is served: items, model and rankings that belong together, what is watched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from distnorm.errors import DistnormError
from distnorm.normalization import ScoreNormalization, load
from distnorm.search.indexes import is_spec
from distnorm.service.engine import Engine
from distnorm.service.index_items import IndexItems
from distnorm.service.items import Items
from distnorm.service.learning import Learner
from distnorm.service.limits import Limits
from distnorm.service.lists import Bar
from distnorm.service.live import Live
from distnorm.service.queries import Queries
from distnorm.service.rankings import Rankings
from distnorm.service.reloading import Reloading
from distnorm.service.store_items import Shelf, StoreItems
from distnorm.store.models import other_resizer

if TYPE_CHECKING:
    from distnorm.encoders.base import Encoder
    from distnorm.service.app import Service

__all__ = ["LEARNED_FROM", "Opening", "check", "open_engine", "open_items", "watch_and_learn"]

LEARNED_FROM = 2_000  # items that learned statistics are held against


@dataclass(frozen=True)
class Opening:
    """What is served, and how: see `distnorm serve`."""

    place: str
    normalizations: tuple[str, ...] = ()
    side: str = "image"
    model: str | None = None
    pictures: Path | None = None
    titles: Path | None = None
    fields: tuple[str, ...] = ()
    threshold: float | None = None
    false_alarm_rate: float | None = None
    filters: bool = False
    watch: Path | None = None
    learn: Path | None = None
    limits: Limits = field(default_factory=Limits)


def open_engine(
    opening: Opening, shelf: Shelf | None = None, norms: Sequence[ScoreNormalization] = ()
) -> Engine:
    """Items, model and rankings that belong together; a shelf and norms at hand need no files."""
    norms = [*_read_norms(opening), *norms]
    encoder = _encoder(opening.model)
    items = open_items(opening, shelf, None if encoder is None else encoder.model_id)
    commit = items.commit
    if encoder is None and commit is not None:
        encoder = _encoder(commit.model)
    model_id = encoder.model_id if encoder is not None else None
    prompt = None
    if commit is not None:
        prompt = commit.prompt or None
        if encoder is not None and commit.model_id not in (None, model_id):
            raise DistnormError(
                f"queries of {model_id!r}",
                f"{commit.model_id!r} as {items.name}",
                "leave --model out",
            )
        model_id = model_id or commit.model_id
        resizer = getattr(encoder, "resizer", None)
        if encoder is not None and commit.resizer not in (None, resizer):
            raise other_resizer(items.name, commit.resizer, resizer)
    if encoder is not None and encoder.dimension != items.dimension:
        raise DistnormError(
            f"{items.name} of {items.dimension} dimensions",
            f"{encoder.dimension} as {model_id!r}",
            "name the model of the stored vectors",
        )
    for norm in norms:
        check(norm, items, model_id)
    prompt = next((norm.prompt for norm in norms if norm.prompt is not None), prompt)
    rankings = Rankings.of(norms, opening.side, "file")
    engine = Engine(
        items,
        rankings,
        Queries(encoder, prompt, opening.limits),
        model_id,
        Bar(opening.threshold, opening.false_alarm_rate),
        opening.filters,
    )
    # Opened again in the thread that will search.
    items.close()
    return engine


def watch_and_learn(service: Service, opening: Opening, shelf: Shelf | None = None) -> None:
    """What a service does beside answering: takes in what changes, and learns if it is to."""
    engine = service.engine
    if opening.watch is not None and opening.learn is not None:
        raise DistnormError(
            "--watch and --learn", "one of them", "watch the file that another service publishes"
        )

    def read_rankings(items: Items, version: int) -> Rankings:
        norms = _read_norms(opening)
        for norm in norms:
            check(norm, items, engine.model)
            if norm.prompt not in (None, engine.queries.prompt):
                raise DistnormError(
                    f"statistics of texts worded {norm.prompt!r}",
                    f"{engine.queries.prompt!r} as the service words them",
                    "serve it anew",
                )
        return Rankings.of(norms, opening.side, "file", version)

    store = Path(opening.place)
    served = shelf is None and not is_spec(opening.place)
    if opening.watch is not None or served:
        reloading = Reloading(
            service,
            file=opening.watch,
            read_rankings=read_rankings,
            store=store if served else None,
            read_items=lambda: open_items(opening),
        )
        service.background.append(reloading.run)
    if opening.learn is not None:
        start = engine.rankings.default.norm
        if start is not None and not engine.items.shared:
            start.correction(engine.rankings.asking).require_shift()
        sides = ("image", "text") if start is None else start.sides
        items = engine.items.sample(LEARNED_FROM)
        engine.items.close()
        learner = Learner(
            items,
            engine.rankings.asking,
            start,
            sides=sides,
            model=engine.model,
            prompt=engine.queries.prompt,
        )
        service.learning = Live(service, learner, opening.learn)
        service.background.append(service.learning.run)


def _read_norms(opening: Opening) -> list[ScoreNormalization]:
    """The normalizations of all files; one that is watched or was learned comes first."""
    files = [Path(path) for path in opening.normalizations]
    for path in (opening.watch, opening.learn):
        if path is not None and path.exists():
            files.insert(0, path)
    return [load(path) for path in files]


def _encoder(name: str | None) -> Encoder | None:
    if name is None:
        return None
    from distnorm.encoders import load_encoder

    return load_encoder(name)


def open_items(opening: Opening, shelf: Shelf | None = None, model: str | None = None) -> Items:
    """The store or index; ``model`` is the id of the model that embeds queries."""
    if shelf is not None:
        return StoreItems(shelf, opening.side, opening.pictures)
    if is_spec(opening.place):
        return IndexItems(
            opening.place,
            opening.side,
            model=model,
            fields=opening.fields,
            titles=opening.titles,
            pictures=opening.pictures,
        )
    if opening.fields or opening.titles:
        raise DistnormError(
            "--fields or --titles for a store", "an index", "leave them out: a store has its own"
        )
    return StoreItems(Shelf.read(Path(opening.place), opening.side), opening.side, opening.pictures)


def check(norm: ScoreNormalization, items: Items, model: str | None) -> None:
    """Raise unless a normalization is one for these items."""
    if None not in (norm.model, model) and norm.model != model:
        raise DistnormError(
            f"a normalization of {norm.model!r}", f"one of {model!r}", "fit one on this model"
        )
    if norm.dimension not in (None, items.dimension):
        raise DistnormError(
            f"a normalization of {norm.dimension} dimensions",
            f"{items.dimension} as {items.name}",
            "fit one on vectors of this model",
        )
    norm.names.resolve(items.side)
