"""How much one client may ask for, and what is answered to one that asks for more."""

from __future__ import annotations

from dataclasses import dataclass

from distnorm.errors import DistnormError

__all__ = ["Limits", "Refusal"]


@dataclass(frozen=True)
class Limits:
    """Bounds of requests.

    Attributes
    ----------
    body, picture : int
        Bytes of a request's body, and of the picture in it.
    pixels : int
        Of that picture.
    text : int
        Characters of a query.
    k : int
        Items of a list.
    rows : int
        Vectors of one ``/shift`` or ``/bias``.
    batch : int
        Searches computed together.
    waiting : int
        Requests in work or waiting; more are answered with 503.
    connections : int
        Open connections; more are closed with 503.
    seconds : float
        For a request from its first byte to its answer.
    head_seconds : float
        For the head of a request to arrive.
    thumbnails : int
        Bytes of thumbnails that are kept.
    """

    body: int = 16 << 20
    picture: int = 11 << 20
    pixels: int = 40_000_000
    text: int = 2_000
    k: int = 1_000
    rows: int = 10_000
    batch: int = 64
    waiting: int = 512
    connections: int = 1_000
    seconds: float = 30.0
    head_seconds: float = 10.0
    thumbnails: int = 64 << 20


class Refusal(Exception):
    """A request that is not served: the HTTP status, and one line that says why."""

    def __init__(self, status: int, got: str, expected: str, remedy: str) -> None:
        self.status, self.line = status, str(DistnormError(got, expected, remedy))
        super().__init__(self.line)

    @classmethod
    def of(cls, error: DistnormError, status: int = 400) -> Refusal:
        """What an error of distnorm says."""
        return cls(status, error.got, error.expected, error.remedy)
