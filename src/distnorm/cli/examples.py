"""One example per command, which its help begins with."""

from __future__ import annotations

import inspect
import textwrap

import click

__all__ = ["BEGINNING", "EXAMPLES", "with_example"]

# What a newcomer reads when no command is given.
BEGINNING = """\
Begin with one of these:

\b
  distnorm demo
      see it work, offline, on drawn pictures
  distnorm compare retrieval --images image.npy --texts text.npy
      does it help my vectors, and by how much?
  distnorm index hubs qdrant:http://localhost:6333/photos --queries log.npy
      which items does my index find for every query?
  distnorm embed PHOTOS --model open_clip:ViT-B-32/openai --out store
      I have photos and no vectors yet
"""

EXAMPLES = {
    "benchmark": "distnorm benchmark paper --model open_clip:ViT-B-32/openai"
    " --data data --out tables",
    "benchmark paper": "distnorm benchmark paper --model open_clip:ViT-B-32/openai"
    " --data data --out tables",
    "calibrate": "distnorm calibrate norm.safetensors --images image.npy --texts text.npy",
    "card": "distnorm card norm.safetensors --out card.md",
    "compare": "distnorm compare retrieval --images image.npy --texts text.npy",
    "compare captions": "distnorm compare captions --images image.npy --captions caption.npy"
    " --human ratings.csv",
    "compare classification": "distnorm compare classification --images image.npy"
    " --classes class.npy --labels labels.txt",
    "compare retrieval": "distnorm compare retrieval --images image.npy --texts text.npy",
    "demo": "distnorm demo",
    "diff": "distnorm diff old.safetensors new.safetensors",
    "embed": "distnorm embed photos --model open_clip:ViT-B-32/openai --out store",
    "evaluate": "distnorm evaluate retrieval --images image.npy --texts text.npy"
    " --normalization norm.safetensors",
    "evaluate captions": "distnorm evaluate captions --images image.npy --captions caption.npy"
    " --human ratings.csv --normalization norm.safetensors",
    "evaluate classification": "distnorm evaluate classification --images image.npy"
    " --classes class.npy --labels labels.txt --normalization norm.safetensors",
    "evaluate retrieval": "distnorm evaluate retrieval --images image.npy --texts text.npy"
    " --normalization norm.safetensors",
    "export": "distnorm export norm.safetensors --format sql",
    "export-atlas": "distnorm export-atlas store --normalization norm.safetensors"
    " --out map.parquet",
    "fit": "distnorm fit --images image.npy --texts log.npy --method dn --out norm.safetensors",
    "index": "distnorm index check faiss:photos.index --normalization norm.safetensors",
    "index bias": "distnorm index bias qdrant:http://localhost:6333/photos"
    " --normalization norm.safetensors",
    "index check": "distnorm index check faiss:photos.index --normalization norm.safetensors",
    "index drop": "distnorm index drop qdrant:http://localhost:6333/photos --all",
    "index hubs": "distnorm index hubs faiss:photos.index --queries log.npy"
    " --normalization norm.safetensors",
    "index list": "distnorm index list qdrant:http://localhost:6333/photos",
    "inspect": "distnorm inspect norm.safetensors",
    "search": 'distnorm search store "a red bus" --normalization norm.safetensors --both',
    "serve": "distnorm serve store --normalization norm.safetensors",
    "watch": "distnorm watch norm.safetensors --texts today.npy",
}


def with_example(command: click.Command, path: str) -> click.Command:
    """The command, and those below it, with help that begins with an example."""
    words = EXAMPLES.get(path, f"distnorm {path} --help")
    folded = textwrap.wrap(words, 70, break_on_hyphens=False, break_long_words=False)
    start = "\b\n  $ " + " \\\n      ".join(folded)
    if not (command.help or "").startswith(start):
        command.short_help = command.get_short_help_str(limit=200)
        command.help = f"{start}\n\n{inspect.cleandoc(command.help or '')}"
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            with_example(below, f"{path} {name}")
    return command
