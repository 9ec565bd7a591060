"""Change files and texts at random, read them as users do, and count what comes of it.

    python tests/fuzz/run.py --inputs 200000 --seed 0 --out tests/fuzz/results.md

Kinds run in processes of their own, two gigabytes each beyond what they begin with; one that says
nothing for ten seconds is ended, and another goes on behind that input. Everything is drawn from
the seed, the kind and the number of the input: `--kind NAME --only NUMBER` repeats one of them.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import hashlib
import json
import os
import platform
import random
import resource
import selectors
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

OUTCOMES = ("accepted", "refused", "traceback", "hang", "memory", "died", "wrong")
SECONDS, ROOM = 10.0, 2 << 30


def draw(seed: int, name: str, number: int) -> random.Random:
    """The same input for the same three, everywhere."""
    digest = hashlib.sha256(f"{seed} {name} {number}".encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "little"))


def outcome(kind: Any, rng: random.Random) -> tuple[str, str]:
    """One of `OUTCOMES`, and what happened where."""
    import click
    from kinds import Wrong

    from distnorm.errors import DistnormError

    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(None):
            warnings.simplefilter("ignore")
            kind.attempt(rng)
    except (DistnormError, click.UsageError) as error:
        if "\n" in str(error):
            return "wrong", f"a refusal of several lines: {str(error)[:60]!r}"
        return "refused", ""
    except Wrong as error:
        return "wrong", str(error)[:100]
    except MemoryError as error:
        return "memory", place_of(error)
    except Exception as error:
        return "traceback", place_of(error)
    return "accepted", ""


def place_of(error: BaseException) -> str:
    """Type and the last line of distnorm's own, not of what was tried."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if f"distnorm{os.sep}" in f.filename]
    last = (own or frames)[-1]
    name = last.filename.rpartition(f"distnorm{os.sep}")[2]
    return f"{type(error).__name__} in {name}:{last.name}"


def work(name: str, seed: int, first: int, count: int, limit: bool) -> None:
    """The child: a line for each input, begun and done."""
    from kinds import build

    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        os.chdir(folder)
        kind = build(name, Path(folder))
        outcome(kind, draw(seed, name, -1))  # imports
        if limit:
            size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, size + ROOM))
        out = os.fdopen(os.dup(1), "w")
        for number in range(first, first + count):
            word, where = outcome(kind, draw(seed, name, number))
            out.write(json.dumps([number, word, where]) + "\n")
            out.flush()


def count_kind(name: str, seed: int, inputs: int, say: Any) -> tuple[Counter[str], Counter[str]]:
    """Outcomes of ``inputs`` inputs of a kind, and the places of those that are faults."""
    counts: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    done, slow = 0, -1
    while done < inputs:
        command = [sys.executable, __file__, "--child", name, str(seed), str(done)]
        child = subprocess.Popen(
            [*command, str(inputs - done)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert child.stdout is not None
        begun = done
        with selectors.DefaultSelector() as ready, child:
            os.set_blocking(child.stdout.fileno(), False)
            ready.register(child.stdout, selectors.EVENT_READ)
            pending, ended = b"", ""
            patience = 120.0  # imports and originals first
            while done < inputs:
                if not ready.select(patience):
                    ended = "hang"
                    break
                chunk = child.stdout.read()
                if not chunk:
                    ended = "died"
                    break
                pending += chunk
                *whole, pending = pending.split(b"\n")
                for line in whole:
                    number, word, where = json.loads(line)
                    counts[word] += 1
                    done = number + 1
                    patience = SECONDS
                    if word not in ("accepted", "refused"):
                        faults[f"{word}: {where}"] += 1
                        say(f"{name} #{number}: {word}: {where}")
            child.kill()
        if ended == "hang" and done != slow:
            slow = done  # once more: the machine may have been busy
            continue
        if ended:
            if done == begun and done == 0 and ended == "died":
                raise SystemExit(f"{name} does not begin: python {' '.join(command[1:])} 1")
            counts[ended] += 1
            faults[f"{ended} at #{done}"] += 1
            say(f"{name} #{done}: {ended}")
            done += 1
    return counts, faults


def main() -> None:
    if len(sys.argv) > 1 and sys.argv[1] == "--child":
        name, seed, first, count = sys.argv[2], *map(int, sys.argv[3:6])
        return work(name, seed, first, count, limit=True)
    from kinds import KINDS, missing

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", help="this one alone; may be repeated")
    parser.add_argument("--only", type=int, help="one input of --kind, with its traceback")
    parser.add_argument("--jobs", type=int, default=1, help="kinds at a time")
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    names = options.kind or list(KINDS)
    if options.only is not None:
        return repeat(names[0], options.seed, options.only)
    absent = {name: missing(name) for name in names}
    names = [name for name in names if not absent[name]]
    shares = sum(KINDS[name][1] for name in names)
    start = time.monotonic()
    rows: dict[str, Counter[str]] = {}
    everything: Counter[str] = Counter()

    def counted(name: str) -> None:
        inputs = max(1, round(options.inputs * KINDS[name][1] / shares))
        found, faults = count_kind(name, options.seed, inputs, lambda s: print(s, flush=True))
        rows[name] = found
        everything.update({f"{name}: {place}": n for place, n in faults.items()})
        if options.out is not None:
            options.out.write_text(text(), "utf-8")

    def text() -> str:
        ordered = {name: rows[name] for name in names if name in rows}
        return report(ordered, everything, options.seed, time.monotonic() - start)

    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(counted, names))
    print(text())
    skipped = {name: needs for name, needs in absent.items() if needs}
    if skipped:
        print("left out, for want of packages:", skipped)
    sys.exit(bool(everything))


def repeat(name: str, seed: int, number: int) -> None:
    """One input, here, with its traceback."""
    from kinds import build

    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        os.chdir(folder)
        build(name, Path(folder)).attempt(draw(seed, name, number))
    print("accepted")


def report(rows: dict[str, Counter[str]], faults: Counter[str], seed: int, seconds: float) -> str:
    """The table as Markdown."""
    import distnorm

    total = sum(map(sum, (row.values() for row in rows.values())))
    versions = [f"distnorm {distnorm.__version__}", f"Python {platform.python_version()}"]
    for module in ("numpy", "pyarrow", "PIL", "safetensors", "scipy", "onnxruntime", "tokenizers"):
        with contextlib.suppress(ImportError):
            versions.append(f"{module} {__import__(module).__version__}")
    lines = [
        "# Changed files and texts",
        "",
        f"{total:,} inputs, seed {seed}, {datetime.date.today()}, {seconds / 60:.0f} minutes; "
        f"{', '.join(versions)}. A hang is {SECONDS:.0f} s without an answer, memory more than "
        f"{ROOM >> 30} GB beyond what the process begins with; wrong is what was accepted and an "
        "independent reader or the original says otherwise of.",
        "",
        "| kind | inputs | " + " | ".join(OUTCOMES) + " |",
        "|---|" + "---:|" * (len(OUTCOMES) + 1),
    ]
    for name, row in [*rows.items(), ("all", sum(rows.values(), Counter()))]:
        cells = [f"{row[word]:,}" for word in OUTCOMES]
        lines.append(f"| {name} | {sum(row.values()):,} | " + " | ".join(cells) + " |")
    if faults:
        lines += ["", "## Faults", "", *(f"- {n} x {what}" for what, n in faults.most_common())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
