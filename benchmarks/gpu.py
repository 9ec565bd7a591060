"""Search, statistics, biases and evaluation of tensors on a GPU, against what torch itself takes.

First everything is checked against float64; then it is timed, side by side, repeat after repeat:
the bare product (or copy), the usual four lines of torch, ours, and ours without Triton. At most
five minutes on an H100. Without a GPU it says so; ``--device cpu --tiny`` runs every line on a
processor, on tensors that are treated as if they lay on a device, which measures nothing.

Run: python benchmarks/gpu.py [--quick]
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from harness import arguments, measure, publish, ratio, spread

SIZES = {
    # items, queries, dimensions, bank, rows to fit, images and texts to evaluate
    "full": (1_000_000, 10_000, 512, 20_000, 4_000_000, (5_000, 25_000)),
    "quick": (200_000, 2_000, 512, 5_000, 400_000, (1_000, 5_000)),
    "tiny": (900, 70, 32, 300, 600, (40, 120)),
}
COLUMNS = 1 << 16
HOST = (
    "device.settings",
    "exact.gallery",
    "methods.bank",
    "metrics.ranks",
    "moments.sketch",
    "moments.sums",
)


def options(parser: argparse.ArgumentParser) -> None:
    """Where, and how small."""
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="sizes for a processor")


@contextmanager
def as_if_on_device(device: str) -> Iterator[None]:
    """On a processor, have tensors take the way of a GPU's."""
    import torch

    patches = []
    if device == "cpu":
        for name in HOST:
            module = importlib.import_module(f"distnorm.{name}")
            patches.append(mock.patch.object(module, "on_device", torch.is_tensor))
        bank = importlib.import_module("distnorm.methods.bank")
        patches.append(mock.patch.object(bank, "on_host", return_value=False))
        sums = importlib.import_module("distnorm.moments.sums")
        patches.append(mock.patch.object(sums, "LARGEST_EXACT", 0))
        patches.append(mock.patch.object(sums, "_on_host_without_copy", lambda x: x))
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()


@contextmanager
def without_triton() -> Iterator[None]:
    """Only plain torch."""
    modules = [
        importlib.import_module(f"distnorm.device.{x}") for x in ("operations", "sums", "banks")
    ]
    patches = [mock.patch.object(module, "kernels", return_value=None) for module in modules]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()


class Bench:
    """Tensors, times and rows of the table."""

    def __init__(self, device: str, size: str, repeats: int) -> None:
        import torch

        self.torch, self.device, self.repeats = torch, device, repeats
        self.items, self.queries, self.d, self.bank, self.fitted, self.pairs = SIZES[size]
        self.results: dict[str, Any] = {}
        self.rows: list[tuple[str, str, str]] = []

    def unit(self, n: int, seed: int, center: int = 99, dtype: str = "float16") -> Any:
        """Unit rows around a common direction."""
        torch = self.torch
        first, second = (torch.Generator(self.device).manual_seed(s) for s in (seed, center))
        middle = torch.randn(self.d, generator=second, device=self.device) * 0.9
        rows = torch.empty(n, self.d, dtype=getattr(torch, dtype), device=self.device)
        for start in range(0, n, 1 << 18):
            part = rows[start : start + (1 << 18)]
            x = torch.randn(len(part), self.d, generator=first, device=self.device) + middle
            part.copy_(x / x.norm(dim=1, keepdim=True))
        return rows

    def timed(self, name: str, functions: dict[str, Callable[[], object]]) -> Any:
        """Seconds of each, in turn, the device's work included."""

        def whole(function: Callable[[], object]) -> Callable[[], None]:
            def run() -> None:
                function()
                if self.device != "cpu":
                    self.torch.cuda.synchronize()

            return run

        found = measure({key: whole(f) for key, f in functions.items()}, self.repeats)
        self.results[name] = found
        milliseconds = ", ".join(f"{k} {v['median'] * 1e3:.2f}" for k, v in found.items())
        self.rows.append((f"{name}: ms", milliseconds, ""))
        return found

    def ratio(self, name: str, what: str, first: str, second: str, wanted: str) -> None:
        """A line with a quotient of two of these times."""
        value = ratio(self.results[name], first, second)
        self.rows.append((f"{name}: {what}", spread(value), wanted))


def check(bench: Bench) -> None:
    """Lists, ranks, sums and biases against float64; raises where they are others."""
    import numpy as np

    import distnorm
    from distnorm.moments import Moments

    torch = bench.torch
    n = min(bench.queries, 3_000)  # with all items: more scores than 32 bits count
    items, queries = bench.unit(bench.items, 1), bench.unit(n, 2, 98)
    items[bench.items // 2 : bench.items // 2 + 5] = items[3]
    bias = 0.02 * torch.randn(len(items), device=bench.device)
    some = torch.arange(0, n, max(1, n // 16), device=bench.device)
    for less in (None, bias):
        for k in (1, 10, 100):
            for dtype in ("float16", "float32"):
                kind = getattr(torch, dtype)
                _, places = distnorm.topk(queries.to(kind), items.to(kind), k, less)
                wide = queries[some].double() @ items.double().T
                wide -= 0 if less is None else less.double()
                # Copies: of equal scores the lowest row.
                value, place = wide.topk(k, dim=1)
                got = wide.gather(1, places[some])
                assert bool((got.sort(dim=1, descending=True).values - value).abs().max() < 1e-12)
                assert float((places[some] == place).float().mean()) > 0.95, (k, dtype)
    rows = bench.unit(min(bench.fitted, 500_000), 5)
    moments = Moments(order=2).update(rows)
    wide = rows.double()
    error = np.abs(moments.second - (wide.T @ wide).cpu().numpy()).max() / len(rows)
    assert error < 1e-6, error
    bank = bench.unit(bench.bank, 6, 98)
    for method in ("is", "nnn"):
        norm = distnorm.make(method).fit(texts=bank, images=rows[:2000])
        fast = norm.item_bias(images=items[:64])
        slow = distnorm.make(method).fit(
            texts=bank.double().cpu().numpy(), images=rows[:2000].double().cpu().numpy()
        )
        exact = slow.item_bias(images=items[:64].double().cpu().numpy())
        assert np.abs(fast.double().cpu().numpy() - exact).max() < 5e-6, method
    images, texts = (bench.unit(x // 5 + 7, 7) for x in bench.pairs)
    texts = texts[: len(images)] if len(texts) > len(images) else texts
    here = distnorm.evaluate_retrieval(None, images[: len(texts)], texts).metrics
    host = distnorm.evaluate_retrieval(
        None, images[: len(texts)].cpu().numpy(), texts.cpu().numpy()
    ).metrics
    assert here == host
    bench.rows.append(("lists, sums, biases and ranks against float64", "as they are", "the same"))


def search(bench: Bench) -> None:
    """Exact top-k of many and of few queries."""
    import distnorm
    from distnorm.search import Gallery

    torch = bench.torch
    half = bench.unit(bench.items, 1)
    bias = 0.02 * torch.randn(bench.items, device=bench.device)

    def cases() -> Iterator[tuple[str, int, int, Any, Any, tuple[str, str]]]:
        n = bench.queries
        yield "top 10", n, 10, half, None, (">= 0.65", ">= 3")
        yield "top 100", n, 100, half, None, (">= 0.35", "")
        yield "top 10 with a bias", n, 10, half, bias, (">= 0.62", "")
        yield "top 10 of float32", n, 10, half.float(), None, (">= 0.43", "")
        for few in (64, 1):
            yield f"top 10 of {few}", few, 10, half, None, (">= 0.5", ">= 1")

    for name, n, k, items, less, wanted in cases():
        queries = bench.unit(n, 2, 98, str(items.dtype).removeprefix("torch."))
        low = queries.half()
        gallery = Gallery(items)

        def bare(low: Any = low) -> None:
            for part in half.split(COLUMNS):
                low @ part.T

        def usual(queries: Any = queries, items: Any = items, k: int = k, less: Any = less) -> Any:
            best = None
            for start in range(0, len(items), COLUMNS):
                scores = queries @ items[start : start + COLUMNS].T
                if less is not None:
                    scores = scores - less[start : start + COLUMNS].to(scores.dtype)
                found = scores.topk(min(k, scores.shape[1]), dim=1).values
                best = found if best is None else torch.cat([best, found], 1).topk(k).values
            return best

        def ours(
            queries: Any = queries, gallery: Any = gallery, k: int = k, less: Any = less
        ) -> Any:
            return distnorm.topk(queries, gallery, k, less)

        def plain(ours: Any = ours) -> Any:
            with without_triton():
                return ours()

        if bench.device != "cpu":
            ours()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            ours()
            extra = (torch.cuda.max_memory_allocated() - before) / 2**30
            bench.rows.append((f"{name}: GiB beside the items", f"{extra:.2f}", ""))
        functions = {"product": bare, "matmul+topk": usual, "ours": ours, "plain": plain}
        bench.timed(name, functions)
        bench.ratio(name, "of the product", "product", "ours", wanted[0])
        bench.ratio(name, "matmul + topk over ours", "matmul+topk", "ours", wanted[1])
        bench.ratio(
            name, "the same without Triton", "matmul+topk", "plain", ">= 2.5" if n > 64 else ""
        )


def statistics(bench: Bench) -> None:
    """`fit` of the mean and of the covariance."""
    import distnorm

    rows = bench.unit(bench.fitted, 1)
    name = "fit"
    bench.timed(
        name,
        {
            "copy": rows.clone,
            "Gram": lambda: rows.T @ rows,
            "dn": lambda: distnorm.make("dn").fit(images=rows),
            "dn2": lambda: distnorm.make("dn2").fit(images=rows),
        },
    )
    # A copy reads and writes; a sum reads.
    copy, mean = (bench.results[name][key]["median"] for key in ("copy", "dn"))
    bench.rows.append(("fit dn: of copy bandwidth", f"{copy / 2 / mean:.2f}", ">= 0.5"))
    bench.ratio(name, "dn2 over the Gram product", "dn2", "Gram", "<= 2")


def biases(bench: Bench) -> None:
    """Numbers per item from a bank."""
    import distnorm

    items, bank = bench.unit(bench.items, 1), bench.unit(bench.bank, 6, 98)

    def product() -> None:
        # One part at a time: all of them together are 40 GB.
        for part in items.split(COLUMNS):
            part @ bank.T

    functions: dict[str, Callable[[], object]] = {"product": product}
    for method in ("dn", "is", "nnn"):
        norm = distnorm.make(method).fit(texts=bank, images=items[: bench.bank])
        functions[method] = lambda norm=norm: norm.item_bias(images=items)
    bench.timed("biases", functions)
    bench.ratio("biases", "is, products", "is", "product", "<= 1.15")
    bench.ratio("biases", "nnn, products", "nnn", "product", "<= 4")


def evaluation(bench: Bench) -> None:
    """Ranks where the tensors are."""
    import distnorm

    n, m = bench.pairs
    images, texts = bench.unit(n, 1, dtype="float32"), bench.unit(m, 2, 98, "float32")
    owner = [row % n for row in range(m)]
    norm = distnorm.make("dn").fit(
        images=bench.unit(n, 3, dtype="float32"), texts=texts[:n].flip(0)
    )
    classes = texts[: min(m, 1000)]
    classifier = distnorm.ZeroShotClassifier("dot").fit(classes)
    bench.timed(
        "evaluation",
        {
            "product": lambda: images @ texts.T,
            "evaluate_retrieval": lambda: distnorm.evaluate_retrieval(norm, images, texts, owner),
            "compare_retrieval": lambda: distnorm.compare_retrieval(
                images, texts, owner, methods=["dn"], repeats=1, diagnostics=False
            ),
            "product with classes": lambda: images @ classes.T,
            "zero-shot": lambda: classifier.predict(images),
        },
    )
    bench.ratio("evaluation", "products", "evaluate_retrieval", "product", "<= 10")
    bench.ratio("evaluation", "compare, products", "compare_retrieval", "product", "")
    bench.ratio("evaluation", "zero-shot, products", "zero-shot", "product with classes", "")


def growth(bench: Bench) -> None:
    """Ten times the items."""
    import distnorm
    from distnorm.search import Gallery

    queries = bench.unit(64, 2, 98)
    functions = {}
    for times in (1, 4, 10):
        gallery = Gallery(bench.unit(times * bench.items, 1))
        functions[f"{times} x"] = lambda gallery=gallery: distnorm.topk(queries, gallery, 10)
    bench.timed("growth", functions)
    bench.ratio("growth", "ten times the items", "10 x", "1 x", "<= 10")


def main() -> None:
    """Check, time and publish."""
    given = arguments(__doc__, options)
    try:
        import torch
    except ImportError:
        print("no GPU: torch is not installed")
        return
    if given.device != "cpu" and not torch.cuda.is_available():
        print("no GPU: nothing is measured (--device cpu --tiny runs every line on a processor)")
        return
    size = "tiny" if given.tiny else "quick" if given.quick else "full"
    given.quick = given.quick or given.tiny
    bench = Bench(given.device, size, given.repeats or (1 if given.quick else 3))
    card = "a processor" if given.device == "cpu" else torch.cuda.get_device_name()
    with as_if_on_device(given.device):
        for step in (check, search, statistics, biases, evaluation, growth):
            step(bench)
            if given.device != "cpu":
                torch.cuda.empty_cache()
    from distnorm.device.operations import kernels

    found = kernels(torch.zeros(1, device=given.device))
    settings = {
        "card": card,
        "Triton": "none" if found is None else importlib.import_module("triton").__version__,
        "items": bench.items,
        "queries": bench.queries,
        "dimensions": bench.d,
        "bank": bench.bank,
        "rows to fit": bench.fitted,
    }
    publish("gpu", given, settings, bench.results, bench.rows)


if __name__ == "__main__":
    main()
