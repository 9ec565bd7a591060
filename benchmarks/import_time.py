"""Time of `import distnorm`, and of the first use of it, in fresh interpreters.

Run: python benchmarks/import_time.py [--quick]
"""

from __future__ import annotations

import subprocess
import sys
import time

from harness import arguments, publish, spread, summary

STATEMENTS = {
    "nothing": "pass",
    "import numpy": "import numpy",
    "import distnorm": "import distnorm",
    "import distnorm, first normalization": "import distnorm; distnorm.make('dn')",
}


def imported_seconds() -> float:
    """Cumulative time of ``import distnorm`` as Python itself reports it."""
    command = [sys.executable, "-X", "importtime", "-c", "import distnorm"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    line = next(
        line for line in done.stderr.splitlines() if line.split("|")[-1].strip() == "distnorm"
    )
    return int(line.split("|")[1]) / 1e6


def process_seconds(statement: str) -> float:
    """Time of a whole interpreter that runs one statement."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - start


def main() -> None:
    """Run ten interpreters for each, in turn, and publish."""
    options = arguments(__doc__)
    repeats = options.repeats or (3 if options.quick else 10)
    imported_seconds()
    reported, whole = [], {name: [] for name in STATEMENTS}
    for _ in range(repeats):
        reported.append(imported_seconds())
        for name, statement in STATEMENTS.items():
            whole[name].append(process_seconds(statement))
    results = {
        "importtime": summary(reported),
        "process": {name: summary(values) for name, values in whole.items()},
    }
    rows = [
        ("`import distnorm`, by -X importtime", spread(results["importtime"], " s"), "< 0.2 s"),
        *(
            (f"whole process: {name}", spread(values, " s"), "")
            for name, values in results["process"].items()
        ),
    ]
    publish("import_time", options, {"repeats": repeats}, results, rows)


if __name__ == "__main__":
    main()
