"""Do the statistics still fit? A look every night, with one chance in 100 of ever crying wolf.

The state lies in a file, so a job may end between two looks. From cron, an alarm is exit code 3:

    0 3 * * *  distnorm watch norm.safetensors --texts today.npy --state watch.st --exit-code

Run: python examples/do_statistics_still_fit.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from make_vectors import synthetic_pairs

import distnorm

images, texts = synthetic_pairs(4000)
norm = distnorm.make("dn").fit(images=images[:1000], texts=texts[:1000])


def nightly(state: Path, rows: np.ndarray) -> distnorm.Watch:
    """One run of the job: go on from the state, take today's queries, look, write the state."""
    if state.exists():
        watch = distnorm.Watch.load(state, norm)
    else:
        watch = distnorm.Watch(norm, false_alarm_rate=0.01, window=300)
    watch.update(texts=rows)
    watch.save(state)
    return watch


def queries_of(day: int) -> np.ndarray:
    """300 queries; from the seventh day on people ask in another language, say."""
    rows = texts[1000 + 300 * day : 1300 + 300 * day]
    return rows if day < 6 else distnorm.normalize(rows + 0.2 * images[:1].astype(np.float32))


with tempfile.TemporaryDirectory() as folder:
    for day in range(10):
        watch = nightly(Path(folder) / "watch.safetensors", queries_of(day))
        print(f"day {day + 1}: {'ALARM' if watch.alarm else 'fits'}, {watch.seen['text']} queries")
        if watch.alarm:
            break

assert day >= 6
fresh = watch.refreshed(keep=0.2)  # old rows count a fifth, the latest 300 are added
print("refreshed:", fresh)
