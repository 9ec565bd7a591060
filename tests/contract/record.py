"""Record what the contract tests compare with: ``record.py help``, ``json``, ``names``, ``cards``.

``files`` are not among them: they were saved by the revision they stand for, once.
"""

from __future__ import annotations

import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "helpers")]

import click

import distnorm

__all__ = ["main"]


@click.group()
def main() -> None:
    """Record anew what the contract tests hold. Look at the difference before you commit it."""


@main.command("help")
def record_help() -> None:
    """commands.json and the help of every command."""
    from contract.commands import about_parameters, command_line, help_text, walk

    folder = HERE / "help"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.txt"):
        old.unlink()
    commands = dict(walk(command_line()))
    for path in commands:
        (folder / f"{path.replace(' ', '-')}.txt").write_text(help_text(path), "utf-8")
    about = {path: about_parameters(command) for path, command in sorted(commands.items())}
    _write(folder / "commands.json", {"click": version("click"), "commands": about})
    click.echo(f"{len(commands)} commands")


@main.command("json")
@click.argument("names", nargs=-1)
def record_json(names: tuple[str, ...]) -> None:
    """The JSON of every case, or of those that are named."""
    from contract.cases import CASES, play

    folder = HERE / "json"
    folder.mkdir(exist_ok=True)
    for name in names or CASES:
        with tempfile.TemporaryDirectory() as place:
            _write(folder / f"{name}.json", play(CASES[name], Path(place)))
        click.echo(name)
    for path in folder.glob("*.json"):
        if path.stem not in CASES:
            path.unlink()


@main.command("names")
def record_names() -> None:
    """The public names."""
    from contract.names import public_names

    _write(HERE / "names.json", public_names())


@main.command("cards")
def record_cards() -> None:
    """How the saved normalizations call themselves, and the cards of some."""
    from contract.results import card_of
    from contract.saved import CARDS, FILES, names_of_normalizations

    folder = HERE / "cards"
    folder.mkdir(exist_ok=True)
    saved = {
        name: FILES / "normalizations" / f"{name}.safetensors" for name in names_of_normalizations()
    }
    _write(folder / "reprs.json", {name: repr(distnorm.load(path)) for name, path in saved.items()})
    for name in CARDS:
        (folder / f"{name}.md").write_text(card_of(saved[name])[1], "utf-8")


@main.command("files")
def record_files() -> None:
    """Refused where there are files: a recorded past cannot be recorded anew."""
    if (HERE / "files").exists():
        raise click.ClickException(
            "tests/contract/files was saved by revision 7858e80 and shows that its files still "
            "load: what a later revision saves shows nothing of the kind. Put files of a new "
            "format beside them."
        )
    from contract.saving import save_files

    save_files(HERE / "files")


def _write(path: Path, content: object) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False, sort_keys=True)
    path.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
