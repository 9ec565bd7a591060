"""Where tensors lie, the settings of torch that a proof rests on, and memory that runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

from distnorm.arrays import blocks
from distnorm.errors import DistnormError

__all__ = ["in_blocks", "in_memory", "on_device", "whole_sums"]

T = TypeVar("T")

# Settings of torch.backends.cuda.matmul, and what keeps sums in float32.
_WHOLE = {
    "allow_fp16_reduced_precision_reduction": False,
    "allow_bf16_reduced_precision_reduction": False,
    "allow_fp16_accumulation": False,
}


def on_device(x: Any) -> bool:
    """Whether ``x`` is a tensor on a device that computes in float64 (Apple's GPUs do not)."""
    return _computes(str(x.device.type)) if hasattr(x, "layout") else False


@cache
def _computes(kind: str) -> bool:
    return kind not in ("cpu", "meta", "mps")


@contextmanager
def whole_sums() -> Iterator[None]:
    """Products whose sums are in float32 and whose factors are not rounded.

    Settings of the user's are put back afterwards, whatever happens.
    """
    import torch  # the caller's: there are tensors

    settings = torch.backends.cuda.matmul
    before: list[tuple[str, Any]] = []
    precision = _precision(torch)
    try:
        if precision not in (None, "highest"):
            torch.set_float32_matmul_precision("highest")
        for name, wanted in (_WHOLE if precision else _WHOLE | {"fp32_precision": "ieee"}).items():
            now = getattr(settings, name, wanted)
            if now != wanted:
                before.append((name, _with_split(settings, name, now)))
                setattr(settings, name, wanted)
        yield
    finally:
        for name, value in reversed(before):
            setattr(settings, name, value)
        if precision not in (None, "highest"):
            torch.set_float32_matmul_precision(precision)


def _precision(torch: Any) -> str | None:
    """How float32 is multiplied; None where a user has said so by the newer setting.

    Torch refuses to read the older one then, and from then on.
    """
    try:
        _ = torch.backends.cuda.matmul.allow_tf32
        precision: str = torch.get_float32_matmul_precision()
    except RuntimeError:
        return None
    return precision


def _with_split(settings: Any, name: str, value: Any) -> Any:
    """A setting together with what some versions keep beside it."""
    split = getattr(settings, f"{name}_split_k", None)
    return value if split is None else (value, split)


def in_blocks(n: int, rows: int, work: Callable[[slice], T], what: str) -> Iterator[T]:
    """``work`` on slices that cover n rows, at most ``rows`` each, fewer where memory runs out."""
    import torch  # the caller's: there are tensors

    start = 0
    while start < n:
        for part in blocks(n - start, rows):
            here = slice(start + part.start, start + part.stop)
            try:
                found = work(here)
            except torch.cuda.OutOfMemoryError:
                break
            yield found
        else:
            return
        start, rows = here.start, (here.stop - here.start) // 2
        if not rows:
            raise _too_little(what)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


@contextmanager
def in_memory(what: str) -> Iterator[None]:
    """Say in one line, as a DistnormError, that torch's memory does not suffice."""
    import torch  # the caller's: there are tensors

    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise _too_little(what) from error


def _too_little(what: str) -> DistnormError:
    return DistnormError(
        f"too little memory on the device for {what}",
        "room for a block of one row at least",
        "free memory on it, or pass the rows on the host: x.cpu()",
    )
