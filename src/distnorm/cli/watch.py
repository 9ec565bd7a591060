"""``distnorm watch``: new embeddings in, reported when the statistics no longer fit."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import click

from distnorm.cli.groups import options_of
from distnorm.cli.output import NewFile, check_new, json_option, say, say_dropped, write_json
from distnorm.cli.progress import progress_bar
from distnorm.cli.vectors import VectorOptions
from distnorm.errors import DistnormError

__all__ = ["watch"]

_ROWS = 1 << 12


@click.command()
@click.argument("path", metavar="NORMALIZATION", type=click.Path())
@click.option("--images", "--first", type=click.Path(), help="New embeddings of the first side.")
@click.option("--texts", "--second", type=click.Path(), help="New embeddings of the second side.")
@click.option(
    "--stdin", "stdin_side", metavar="SIDE", help="Read .npy batches of this side from stdin."
)
@click.option("--state", type=NewFile(), help="Go on from this file, and write it.")
@click.option(
    "--false-alarm-rate",
    type=float,
    help="Chance of ever alarming without a change, if bursts are no longer than --block. "
    "[default: 0.01]",
)
@click.option("--window", type=int, help="Latest rows that are tested. [default: 500]")
@click.option(
    "--block", type=int, help="Longest burst: rows further apart are independent. [default: 16]"
)
@click.option(
    "--refresh",
    type=NewFile("a normalization", ".safetensors"),
    help="On alarm write refreshed statistics here.",
)
@click.option("--forget", default=0.5, show_default=True, help="Share of its rows forgotten then.")
@click.option("--overwrite", is_flag=True, help="Replace an existing --refresh.")
@click.option("--exit-code", is_flag=True, help="Exit with 3 on alarm.")
@options_of(VectorOptions, "vectors")
@json_option
@click.pass_context
def watch(
    ctx: click.Context,
    path: str,
    images: str | None,
    texts: str | None,
    stdin_side: str | None,
    state: str | None,
    false_alarm_rate: float | None,
    window: int | None,
    block: int | None,
    refresh: str | None,
    forget: float,
    overwrite: bool,
    exit_code: bool,
    vectors: VectorOptions,
    json_path: str | None,
) -> None:
    """Test whether new embeddings still fit NORMALIZATION's statistics."""
    from distnorm.monitoring.watch import Watch
    from distnorm.normalization import load
    from distnorm.system.files import check_ending

    if images is None and texts is None and stdin_side is None:
        raise click.UsageError("give --images, --texts or --stdin SIDE")
    vectors.check_used("--images and --texts", images is not None or texts is not None)
    norm = load(path)
    one, two = norm.sides
    if not 0 <= forget < 1:
        raise DistnormError(f"--forget {forget:g}", "from 0 to below 1", "0.5 forgets half")
    if refresh is not None:
        check_new(refresh, overwrite)
    if state is not None and Path(state).exists():
        if (false_alarm_rate, window, block) != (None, None, None):
            raise click.UsageError(
                "--state goes on with its own --false-alarm-rate, --window and --block"
            )
        found = Watch.load(state, norm)
    else:
        found = Watch(
            norm,
            false_alarm_rate=0.01 if false_alarm_rate is None else false_alarm_rate,
            window=500 if window is None else window,
            block=block,
        )
    if state is not None and not Path(state).exists():
        check_ending(state, "the state of a watch", ".safetensors")
    before = found.alarm
    files = {one: images, two: texts}
    named = {side: name for side, name in files.items() if name is not None}
    given = vectors.fitting(norm, named, one, two) if named else {}
    with progress_bar("watching", "rows") as show:
        done, total = 0, sum(map(len, given.values()))
        for side, rows in given.items():
            for start in range(0, max(1, len(rows)), _ROWS):
                part = rows[start : start + _ROWS]
                found.update(**{side: part})
                done += len(part)
                show(done, total)
    if stdin_side is not None:
        for batch in _batches(sys.stdin.buffer):
            found.update(**{stdin_side: batch})
    if state is not None:
        found.save(state)
    result = {"schema": 1, "normalization": path, **found.to_dict(), "refreshed": None}
    seen = ", ".join(f"{n} {side}" for side, n in found.seen.items())
    if found.alarm is None:
        say(f"statistics still fit: {seen} rows, no alarm")
    else:
        alarm = found.alarm
        say(
            f"statistics no longer fit: at {alarm.side} row {alarm.rows} the mean of the latest "
            f"{alarm.test.counts[1]} lay {alarm.test.distance:.4f} away, {alarm.test.expected:.4f} "
            f"expected, p = {alarm.test.p_value:.1e} < {alarm.level:.1e}"
            + ("" if before is None else " (known before)")
        )
        if refresh is not None:
            fresh = found.refreshed(keep=1 - forget)
            fresh.save(refresh)
            result["refreshed"] = refresh
            say(f"refreshed: {refresh}")
            say_dropped(fresh)
    write_json(result, json_path)
    if exit_code and found.alarm is not None:
        ctx.exit(3)


class _Pipe:
    """What is left of a stream, after bytes that were read ahead; it cannot seek."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head, self._stream = head, stream

    def read(self, size: int = -1, /) -> bytes:
        # numpy asks for exact sizes only.
        head, self._head = self._head[:size], self._head[size:]
        return head + self._stream.read(size - len(head))


def _batches(stream: BinaryIO) -> Iterator[Any]:
    """Arrays of one .npy after the other."""
    from numpy.lib import format as npy

    number = 0
    while head := stream.read(1):
        try:
            yield npy.read_array(_Pipe(head, stream), allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise DistnormError(
                f"batch {number} on standard input, which cannot be read",
                "arrays as numpy.save writes them, one after the other",
                "write whole .npy files",
            ) from error
        number += 1
