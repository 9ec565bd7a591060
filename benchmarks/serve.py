"""The service against its own search, a bare Starlette handler, and itself without batches.

100,000 rows near those of drawn pictures, the built-in model, sentences as queries, k = 10, each
answered by dot and by dn. *Search itself* is what the service calls for one query, in a process of
its own, at the same pace. The *bare handler* encodes the sentence and calls `topk` for both lists
in a thread, one query at a time, and answers ids and scores. All take turns. Latency: 50 queries a
second, sent when they are due whether or not the last one is answered. Throughput: 32 clients,
each asking again as soon as it is answered.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from harness import arguments, publish, spread, summary

import distnorm

K, RATE, CLIENTS = 10, 50, 32
SERVERS = ("service", "service, no batches", "bare handler")


def collection(folder: Path, n: int) -> tuple[Any, Any, list[str]]:
    """What is served, ready to open, and sentences to ask."""
    from distnorm.demo.collection import draw_collection
    from distnorm.service.opening import Opening
    from distnorm.service.store_items import Shelf
    from distnorm.store.catalog import Catalog

    drawn = draw_collection(folder, size=400, samples=200)
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.3 / np.sqrt(drawn.rows.shape[1]), (n, drawn.rows.shape[1]))
    rows = distnorm.normalize((drawn.rows[rng.integers(400, size=n)] + noise).astype(np.float32))
    shelf = Shelf("rows", rows, Catalog.of([f"row {at}" for at in range(n)]))
    return (Opening("rows", model="builtin"), shelf, drawn.norms[:1]), drawn, drawn.log


def child(kind: str, n: int) -> None:
    """Serve until standard input ends, or print latencies of the search itself."""
    from distnorm.service.app import Service, create_app
    from distnorm.service.limits import Limits
    from distnorm.service.opening import open_engine
    from distnorm.service.requests import Asked
    from distnorm.service.server import listen, run

    with tempfile.TemporaryDirectory() as folder:
        (opening, shelf, norms), drawn, log = collection(Path(folder), n)
        if kind == "bare handler":
            app: Any = bare(shelf.rows, norms[0], drawn.encoder)
        else:
            engine = open_engine(opening, shelf, norms)
            if kind == "search itself":
                print("ready", flush=True)
                for line in sys.stdin:
                    jobs = [Asked(K, text=log[at % len(log)]) for at in range(int(line))]
                    print(json.dumps(paced(lambda job: engine.search([job]), jobs)), flush=True)
                return
            service = Service(engine)
            if kind == "service, no batches":
                service.batches = type(service.batches)(engine.search, 1, 512)
            app = create_app(service)
        with listen("127.0.0.1", 0) as sock:
            print(sock.getsockname()[1], flush=True)
            import threading

            stop = threading.Event()
            threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
            run(app, sock, Limits(), lambda line: None, None, stop)


def bare(rows: Any, norm: Any, encoder: Any) -> Any:
    """A dozen lines that anyone would write first."""
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    gallery = distnorm.search.Gallery(rows)
    lock = asyncio.Lock()

    def found(text: str, k: int) -> dict[str, Any]:
        query = encoder.encode_texts([text])
        lists = {}
        for name, sent in (("dot", query), ("dn", norm.shift_queries(texts=query))):
            scores, ids = distnorm.topk(sent, gallery, k)
            lists[name] = {"ids": ids[0].tolist(), "scores": scores[0].tolist()}
        return lists

    async def search(request: Any) -> JSONResponse:
        values = await request.json()
        async with lock:
            return JSONResponse(await asyncio.to_thread(found, values["query"], values["k"]))

    return Starlette(routes=[Route("/search", search, methods=["POST"])])


def paced(ask: Any, jobs: list[Any]) -> list[float]:
    """Seconds of each call from when it was due."""
    began, found = time.perf_counter(), []
    for number, job in enumerate(jobs):
        due = began + number / RATE
        time.sleep(max(0.0, due - time.perf_counter()))
        ask(job)
        found.append(time.perf_counter() - due)
    return found


class Connection:
    """One connection that is kept, with as little of HTTP as will do."""

    def __init__(self, port: int) -> None:
        self._port, self._streams = port, None

    async def ask(self, text: str) -> None:
        """One search; raises for another status than 200."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        body = json.dumps({"query": text, "k": K}).encode()
        head = (
            f"POST /search HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(answer[:80])
        lines = answer.lower().split(b"\r\n")
        size = next(line for line in lines if line.startswith(b"content-length:"))
        await reader.readexactly(int(size.partition(b":")[2]))


async def latencies(port: int, log: list[str], count: int) -> list[float]:
    """Seconds from when each of ``count`` searches was due, at `RATE` a second."""
    free = [Connection(port) for _ in range(CLIENTS)]
    found: list[float] = []

    async def one(due: float, text: str) -> None:
        connection = free.pop() if free else Connection(port)
        await connection.ask(text)
        found.append(time.perf_counter() - due)
        free.append(connection)

    began, tasks = time.perf_counter() + 0.05, []
    for number in range(count):
        due = began + number / RATE
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(one(due, log[number % len(log)])))
    await asyncio.gather(*tasks)
    return found


def processor_seconds(process: Any) -> float:
    """Of a process and all of its threads, which other programs on the machine do not change."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def throughput(port: int, log: list[str], seconds: float) -> float:
    """Searches per second with `CLIENTS` clients."""
    end, done = time.perf_counter() + seconds, 0

    async def client(first: int) -> None:
        nonlocal done
        connection, at = Connection(port), first
        while time.perf_counter() < end:
            await connection.ask(log[at % len(log)])
            done, at = done + 1, at + CLIENTS

    began = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return done / (time.perf_counter() - began)


@contextmanager
def running(kind: str, n: int) -> Any:
    """A child, and the first line that it says."""
    command = [sys.executable, __file__, "--child", kind, "--items", str(n)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait(60)


def main() -> None:
    """Measure in turn, and publish."""
    options = arguments(
        __doc__, lambda parser: parser.add_argument("--items", type=int, default=None)
    )
    n = options.items or (5_000 if options.quick else 100_000)
    if options.child:
        child(options.child, n)
        return
    repeats = options.repeats or (1 if options.quick else 7)
    count, seconds = (25, 0.5) if options.quick else (200, 4.0)
    with tempfile.TemporaryDirectory() as folder:
        log = collection(Path(folder), 10)[2]
    late: dict[str, list[list[float]]] = {name: [] for name in ("search itself", *SERVERS[::2])}
    rates: dict[str, list[float]] = {name: [] for name in SERVERS}
    costs: dict[str, list[float]] = {name: [] for name in SERVERS}
    with (
        running("search itself", n) as (alone, _),
        running(SERVERS[0], n) as (one, first),
        running(SERVERS[1], n) as (two, second),
        running(SERVERS[2], n) as (three, third),
    ):
        ports = dict(zip(SERVERS, map(int, (first, second, third)), strict=True))
        processes = dict(zip(SERVERS, (one, two, three), strict=True))
        for repeat in range(repeats + 1):
            found = {}
            alone.stdin.write(f"{count}\n")
            alone.stdin.flush()
            found["search itself"] = json.loads(alone.stdout.readline())
            for name in SERVERS[::2]:
                found[name] = asyncio.run(latencies(ports[name], log, count))
            speeds, spent = {}, {}
            for name in SERVERS:
                before = processor_seconds(processes[name])
                speeds[name] = asyncio.run(throughput(ports[name], log, seconds))
                used = processor_seconds(processes[name]) - before
                spent[name] = 1000 * used / (speeds[name] * seconds)
            if repeat:
                for name, value in spent.items():
                    costs[name].append(value)
                for name, values in found.items():
                    late[name].append(values)
                for name, value in speeds.items():
                    rates[name].append(value)
    results: dict[str, Any] = {"latency": {}, "throughput": {}}
    rows = []
    for name, runs in late.items():
        for q in (50, 99):
            figures = summary([1000 * float(np.percentile(run, q)) for run in runs])
            results["latency"][f"{name}, p{q}"] = figures
            rows.append((f"{name}: p{q} at {RATE} queries/s", spread(figures, " ms", 1), ""))
    above = summary(
        [
            1000 * float(np.percentile(one, 99) - np.percentile(other, 99))
            for one, other in zip(late["service"], late["search itself"], strict=True)
        ]
    )
    results["latency"]["service above search itself, p99"] = above
    rows.append(
        ("service: p99 above that of the search itself", spread(above, " ms", 1), "< 10 ms")
    )
    for name, values in rates.items():
        results["throughput"][name] = summary(values)
        rows.append((f"{name}: {CLIENTS} clients", spread(summary(values), " queries/s", 0), ""))
    for name, values in costs.items():
        results["throughput"][f"{name}, processor ms per query"] = summary(values)
        rows.append((f"{name}: processor time per query", spread(summary(values), " ms", 1), ""))
    for name, wanted in zip(SERVERS[1:], ("3", ""), strict=True):
        gain = summary([a / b for a, b in zip(rates["service"], rates[name], strict=True)])
        results["throughput"][f"service / {name}"] = gain
        rows.append((f"service / {name}, throughput", spread(gain, "", 2), wanted))
    settings = {"items": n, "k": K, "repeats": repeats, "queries per repeat": count}
    publish("serve", options, settings, results, rows)


if __name__ == "__main__":
    main()
