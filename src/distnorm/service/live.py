"""``--learn``: a `Learner` fed by the searches of a service, its statistics put into force.

``GET /learn`` says what was learned and what it changed. ``POST /learn {"action": ...}`` publishes
the statistics to the file, rolls back to those of the start (the file is kept beside, as
``FILE.rolled-back``), or resumes after that. Of a method without a bank the file holds sums alone;
of one with a bank, rows of queries. Words of queries are in neither.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from distnorm.arrays import Float32
from distnorm.errors import DistnormError
from distnorm.service.answers import as_json
from distnorm.service.guard import read_body
from distnorm.service.learning import GATE, Learner, Proposal
from distnorm.service.limits import Refusal
from distnorm.service.rankings import Rankings
from distnorm.service.requests import parsed

if TYPE_CHECKING:
    from distnorm.service.app import Service
    from distnorm.service.engine import Found

__all__ = ["Live"]

_WAITING = 4096  # queries between two looks
_ACTIONS = ("publish", "resume", "rollback")


class Live:
    """What is learned by a service, and whether it is in force.

    Statistics are published in ``file``. Every so many seconds it is looked what came in; ``batch``
    new queries are enough for statistics to be proposed anew.
    """

    def __init__(
        self, service: Service, learner: Learner, file: Path, *, every: float = 1.0, batch: int = 50
    ) -> None:
        self._service, self._learner, self._file = service, learner, file
        self._every, self._batch = every, batch
        self._start: Rankings = service.engine.rankings
        self._fresh: deque[Float32] = deque(maxlen=_WAITING)
        self._work = asyncio.Lock()
        self._proposal: Proposal | None = None
        self._proposed_at = 0
        self.paused = self.in_force = False
        self.published = 0

    def routes(self) -> list[Route]:
        """Those of this module."""
        return [Route("/learn", self.told), Route("/learn", self.asked, methods=["POST"])]

    def take(self, found: Found) -> None:
        """A query that was answered."""
        if not self.paused and found.side == self._learner.side:
            length = float(np.linalg.norm(found.row))
            self._fresh.append(found.row / np.float32(length))

    async def run(self) -> None:
        """Learn for as long as the service runs."""
        while True:
            await asyncio.sleep(self._every)
            try:
                await self.look()
            except Exception as error:
                self._service.log(f"nothing was learned: {type(error).__name__}: {error}")

    async def look(self) -> None:
        """Take in what has come, and put new statistics into force where the gates let them."""
        async with self._work:
            rows = [self._fresh.popleft() for _ in range(len(self._fresh))]
            if rows:
                await asyncio.to_thread(self._learner.add, np.stack(rows))
            if self.paused or self._learner.seen - self._proposed_at < self._batch:
                return
            self._proposed_at = self._learner.seen
            proposal = await asyncio.to_thread(self._learner.propose)
            self._proposal = proposal
            service, engine = self._service, self._service.engine
            if proposal.norm is None or self.paused:
                return
            if proposal.accepted:
                rankings = Rankings.of(
                    [proposal.norm, *list(self._start.norms.values())[1:]],
                    engine.items.side,
                    "learned",
                    engine.rankings.version + 1,
                    _note(proposal),
                )
                engine.replace(await service.prepared(engine.items, rankings))
                self.in_force = True
            elif self.in_force:
                service.log(f"learned statistics are out of force: {proposal.reason}")
                await self._restore()

    async def _restore(self) -> None:
        engine = self._service.engine
        rankings = self._start.anew(engine.rankings.version + 1)
        engine.replace(await self._service.prepared(engine.items, rankings))
        self.in_force = False

    def state(self) -> dict[str, Any]:
        """For JSON."""
        proposal, learner = self._proposal, self._learner
        found: dict[str, Any] = {
            "schema": 1,
            "paused": self.paused,
            "in_force": self.in_force,
            "version": self._service.engine.rankings.version,
            "queries_seen": learner.seen,
            "queries_kept": len(learner.rows),
            "queries_held_out": len(learner.held_out),
            "queries_repeated": learner.repeated,
            "window": learner.window,
            "effective_queries": None if proposal is None else proposal.effective,
            "effective_queries_needed": GATE,
            "published": self.published,
            "file": self._file.name,
        }
        if proposal is not None:
            found |= {
                "reason": proposal.reason,
                "agreement": proposal.agreement,
                "agreement_before": proposal.agreement_before,
                "overlap_of_first_ten": proposal.overlap,
            }
        return found

    async def told(self, _: Request) -> Response:
        """What was learned."""
        return as_json(self.state())

    async def asked(self, request: Request) -> Response:
        """Publish, roll back or resume."""
        values = parsed(await read_body(request, self._service.limits))
        action = values.get("action")
        if set(values) != {"action"} or action not in _ACTIONS:
            words = " or ".join(_ACTIONS)
            raise Refusal(400, "another action", f'{{"action": {words}}}', "send it")
        async with self._work:
            if action == "publish":
                await self.publish()
            elif action == "rollback":
                self.paused = True
                self._fresh.clear()
                if self.in_force:
                    await self._restore()
                await asyncio.to_thread(self._set_aside)
            else:
                self.paused = False
        return as_json(self.state())

    async def publish(self) -> None:
        """Write what is in force to the file, whole or not at all."""
        norm = self._service.engine.rankings.default.norm
        if not self.in_force or norm is None:
            raise Refusal(
                409, "nothing learned in force", "statistics that passed both gates", "see /learn"
            )
        try:
            await asyncio.to_thread(norm.save, self._file)
        except (OSError, DistnormError) as error:
            raise DistnormError(
                f"{self._file.name}, which cannot be written", "a writable place", "see its folder"
            ) from error
        self.published += 1
        self._service.log(f"learned statistics were written to {self._file}")

    def _set_aside(self) -> None:
        if self._file.exists():
            os.replace(self._file, f"{self._file}.rolled-back")
            self._service.log(f"{self._file} was moved to {self._file.name}.rolled-back")


def _note(proposal: Proposal) -> str:
    """What people should know of learned statistics, with their results."""
    words = f"ranked by statistics learned from {proposal.effective:.0f} effective queries"
    if proposal.overlap is not None:
        words += f"; {1 - proposal.overlap:.0%} of the first ten items are others than before"
    return words
