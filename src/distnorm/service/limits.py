"""How much one client may ask for, and what is answered to one that asks for more."""

from __future__ import annotations

from dataclasses import dataclass

from distnorm.errors import DistnormError

__all__ = ["Limits", "Refusal"]


@dataclass(frozen=True)
class Limits:
    """Bounds of requests."""

    body: int = 16 << 20  # bytes of a request's body
    picture: int = 11 << 20  # and of the picture in it
    pixels: int = 40_000_000  # of that picture
    text: int = 2_000  # characters of a query
    k: int = 1_000  # items of a list
    rows: int = 10_000  # vectors of one ``/shift`` or ``/bias``
    batch: int = 64  # searches computed together
    waiting: int = 512  # requests in work or waiting; more are answered with 503
    connections: int = 1_000  # open ones; more are closed with 503
    seconds: float = 30.0  # for a request from its first byte to its answer
    head_seconds: float = 10.0  # for the head of a request to arrive
    thumbnails: int = 64 << 20  # bytes of those that are kept


class Refusal(Exception):
    """A request that is not served: the HTTP status, and one line that says why."""

    def __init__(self, status: int, got: str, expected: str, remedy: str) -> None:
        self.status, self.line = status, str(DistnormError(got, expected, remedy))
        super().__init__(self.line)

    @classmethod
    def of(cls, error: DistnormError, status: int = 400) -> Refusal:
        """What an error of distnorm says."""
        return cls(status, error.got, error.expected, error.remedy)
