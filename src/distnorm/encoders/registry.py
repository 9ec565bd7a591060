"""The one list of model families; a new family is its module and one line here."""

from __future__ import annotations

import importlib.util
import pkgutil
from dataclasses import dataclass
from typing import Any

from distnorm.encoders.base import Encoder
from distnorm.errors import DistnormError

__all__ = ["FAMILIES", "Family", "list_encoders", "load_encoder", "stated_id"]


@dataclass(frozen=True)
class Family:
    """A family of models.

    Attributes
    ----------
    name : str
        What stands before the colon of a model's name.
    extra : str
        What to install: ``pip install 'distnorm[EXTRA]'``; empty where nothing is needed.
    example : str
        A name that `load_encoder` takes.
    packages : str
        Modules that the family imports, separated by blanks.
    loader : str
        ``module:function`` below `distnorm.encoders`: (model, options) to an Encoder.
    """

    name: str
    extra: str
    example: str
    packages: str
    loader: str

    @property
    def installed(self) -> bool:
        """Whether its packages are installed; none is imported to see it."""
        return all(importlib.util.find_spec(package) for package in self.packages.split())

    @property
    def command(self) -> str:
        """What installs it; empty where nothing is needed."""
        return f"pip install 'distnorm[{self.extra}]'" if self.extra else ""

    def load(self, model: str, **options: Any) -> Encoder:
        """The encoder of a model of the family."""
        encoder: Encoder = pkgutil.resolve_name(f"distnorm.encoders.{self.loader}")(
            model, **options
        )
        return encoder

    def pretrained(self) -> list[tuple[str, str]]:
        """Pairs (model, weights) that the family's own library lists; no weights are loaded.

        Empty where the library is not installed or lists none; ``open_clip`` lists
        ``("ViT-B-32", "laion2b_s34b_b79k")``, which is ``open_clip:ViT-B-32/laion2b_s34b_b79k``.
        """
        module = pkgutil.resolve_name(f"distnorm.encoders.{self.loader.partition(':')[0]}")
        pairs: list[tuple[str, str]] = []
        if self.installed and hasattr(module, "pretrained"):
            pairs = module.pretrained()
        return pairs

    def to_dict(self) -> dict[str, Any]:
        """Name, extra, example and whether it is installed."""
        fields = {name: getattr(self, name) for name in ("name", "extra", "example")}
        return {**fields, "installed": self.installed}

    def __repr__(self) -> str:
        """Name, example and what to install."""
        state = "installed" if self.installed else self.command
        return f"Family({self.name!r}, {self.example!r}, {state})"


_OPEN_CLIP = "open_clip:ViT-B-32/laion2b_s34b_b79k"
_ALBEF = "torch timm transformers"
FAMILIES = {
    family.name: family
    for family in (
        Family("albef", "albef", "albef:/path/to/ALBEF.pth", _ALBEF, "albef.model:load"),
        Family("builtin", "demo", "builtin", "onnxruntime", "builtin:load"),
        Family(
            "hf", "hf", "hf:openai/clip-vit-base-patch32", "torch transformers", "hf.model:load"
        ),
        Family("http", "", "http:http://localhost:8000/v1/embeddings#MODEL", "", "http:load"),
        Family("onnx", "onnx", "onnx:/path/to/folder", "onnxruntime tokenizers", "onnx.model:load"),
        Family("open_clip", "open-clip", _OPEN_CLIP, "torch open_clip", "open_clip:load"),
        Family("python", "", "python:module:function", "", "python_function:load"),
        Family("st", "st", "st:clip-ViT-B-32", "torch sentence_transformers", "st:load"),
        Family("tcl", "albef", "tcl:/path/to/TCL_4M.pth", _ALBEF, "albef.model:load_tcl"),
    )
}


def list_encoders() -> list[Family]:
    """The model families: how their models are named, and whether their packages are installed.

    Examples
    --------
    >>> from distnorm.encoders import list_encoders
    >>> [family.example for family in list_encoders() if family.name == "builtin"]
    ['builtin']
    """
    return list(FAMILIES.values())


def stated_id(name: str | None) -> str | None:
    """The id of a model by its name or id; of an address, the id without address and key."""
    if name is not None and name.partition(":")[0] in ("http", "https") and "//" in name:
        return load_encoder(name).model_id
    return name


def load_encoder(name: str, **options: Any) -> Encoder:
    """Load an encoder by its name.

    Parameters
    ----------
    name : str
        ``builtin``, or ``family:model`` with a family of `list_encoders`; an address alone is of
        the family ``http``.
    **options
        Passed to the family. Families that run on torch take ``device`` ("auto": a GPU if there
        is one; "cpu", "cuda", "cuda:1", "mps") and ``precision`` ("auto": float16 on a GPU,
        float32 elsewhere; "float32", "float16", "bfloat16"); more are in the module of each.

    Raises
    ------
    DistnormError
        For an unknown family: lists what is possible and what to install.
    MissingExtraError
        If the family's packages are not installed; names the pip line.
    """
    family, _, model = name.partition(":")
    if family == "https":
        family, model = "http", name
    if family not in FAMILIES:
        choices = ", ".join(
            f"{f.name} ({f.command})" if f.command else f.name for f in list_encoders()
        )
        raise DistnormError(f"the model {name!r}", f"one of: {choices}", "write family:model")
    return FAMILIES[family].load(model, **options)
