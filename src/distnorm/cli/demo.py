"""``distnorm demo``: the whole idea offline, in a minute, with a report to look at."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import click

from distnorm.cli.output import NewFolder, console, json_option, say, write_json
from distnorm.cli.progress import progress_bar
from distnorm.errors import DistnormError

__all__ = ["demo"]


@click.command()
@click.option(
    "--world",
    default="faded",
    show_default=True,
    help="What the pictures are like: matched, night, red, stars, products, faded, dim.",
)
@click.option("--size", default=1000, show_default=True, help="Pictures.")
@click.option("--seed", default=0, show_default=True)
@click.option("--fresh", is_flag=True, help="Compute also what is kept in the package.")
@click.option("--out", type=NewFolder(path_type=Path), help="New folder; default distnorm-demo.")
@click.option("--open/--no-open", "show", default=None, help="Open the report in the browser.")
@json_option
def demo(
    world: str,
    size: int,
    seed: int,
    fresh: bool,
    out: Path | None,
    show: bool | None,
    json_path: str | None,
) -> None:
    """Draw pictures, embed them, score three tasks with every method, write a report."""
    from distnorm.demo import demo_page, run_demo
    from distnorm.demo.page import kept_words, summary_table, verdict
    from distnorm.errors import require

    for module in ("onnxruntime", "PIL", "jinja2", "matplotlib"):
        require(module, "demo")
    folder = _new_folder(out)
    with progress_bar("demo", "steps") as bar:
        found = run_demo(world, size, seed, fresh=fresh, progress=bar.step)
    result = found.to_dict()
    text = json.dumps(result, indent=2, allow_nan=False) + "\n"
    _write(folder, {"report.html": demo_page(found), "results.json": text})
    console().print(summary_table(found))
    console().print(verdict(found))
    if found.kept:
        say(f"kept: {kept_words(found)}")
    report = folder / "report.html"
    say(f"report: {report}")
    write_json({**result, "report": str(report)}, json_path)
    if show or (show is None and sys.stderr.isatty() and json_path is None):
        click.launch(str(report.resolve()))


def _new_folder(out: Path | None) -> Path:
    """A folder that is not there yet; a default name gets a number where it is taken."""
    if out is not None:
        if out.exists() or out.is_symlink():
            raise DistnormError(f"{out}, which exists", "a new folder", "pass another --out")
        return out
    number = 1
    while True:
        folder = Path("distnorm-demo" if number == 1 else f"distnorm-demo-{number}")
        if not folder.exists():
            return folder
        number += 1


def _write(folder: Path, files: dict[str, str]) -> None:
    """The folder with all its files, or nothing."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        half = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise DistnormError(
            f"{folder}, which cannot be made ({error.strerror})",
            "a writable place",
            "pass another --out",
        ) from error
    try:
        for name, text in files.items():
            (half / name).write_text(text, encoding="utf-8")
        half.chmod(0o755)
        os.rename(half, folder)
    except BaseException:
        shutil.rmtree(half, ignore_errors=True)
        raise
