"""``open_clip:ARCH/WEIGHTS``: the models of OpenCLIP (Ilharco et al., 2021), and what it reads.

| name | weights |
|---|---|
| ``open_clip:ViT-B-32/laion2b_s34b_b79k`` | a tag of OpenCLIP's list, from its hub or its cache |
| ``open_clip:ViT-B-32//photos/epoch_9.pt`` | a local file; relative paths work too |
| ``open_clip:local-dir:/models/mine`` | a folder with ``open_clip_config.json`` and weights |
| ``open_clip:hf-hub:org/repo`` | such a folder on the hub |
| ``open_clip:ViT-B-32/random`` | none: random weights, for measuring speed; says so loudly |

Weights by OpenAI were trained with another activation (QuickGELU). Where a tag says so the model
is built with it, whether or not the name ends in ``-quickgelu``; a TorchScript file of OpenAI's own
release too. ``tokenizer=`` names the folder of a tokenizer, for architectures whose tokenizer is on
the hub (SigLIP, multilingual ones) where the hub is out of reach; ``seed=`` is that of random
weights. Needs the ``open-clip`` extra.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.encoders.fingerprints import file_digest, one_line
from distnorm.encoders.pixels import Pixels
from distnorm.encoders.torch_encoder import (
    RandomWeightsWarning,
    TorchEncoder,
    choose_device,
    choose_precision,
    frozen,
    inverse_scale,
    require_vision,
)
from distnorm.errors import DistnormError, require

__all__ = ["OpenClipEncoder", "load", "pretrained", "recipe"]

_EXTRA = "open-clip"
_RANDOM = ("", "random")
_RESAMPLE = {"bicubic": 3, "bilinear": 2}
_SHORT = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
_PROMPTS = ("a photo of a {c}.",)


def load(
    model: str,
    *,
    device: str = "auto",
    precision: str = "auto",
    tokenizer: str | None = None,
    seed: int = 0,
) -> OpenClipEncoder:
    """``ARCH/TAG``, ``ARCH/FILE``, ``local-dir:FOLDER``, ``hf-hub:ORG/REPO`` or ``ARCH/random``."""
    library = require_vision("open_clip", _EXTRA)
    torch_device = choose_device(device, _EXTRA)
    precision = choose_precision(precision, torch_device)
    arch, weights, label = _parsed(library, model)
    name = f"open_clip:{model}"
    settings = {"precision": _SHORT[precision], "device": torch_device}
    with _quiet(), _explained(name):
        # The tokenizer first: it is what may be out of reach, and soon found out.
        if tokenizer is None:
            splitter = library.get_tokenizer(arch)
        else:
            splitter = _local_tokenizer(library, arch, tokenizer)
        if weights in _RANDOM:
            towers = _random(library, arch, seed, settings)
            label = f"{arch}/random-{seed}"
        else:
            towers = _built(library, arch, weights, settings)
        config = library.get_model_config(arch)
    encoder = OpenClipEncoder(towers, splitter, torch_device, f"open_clip:{label}")
    encoder.dimension = int(config["embed_dim"])
    encoder.dtype = library.get_input_dtype(_SHORT[precision]) or require("torch", _EXTRA).float32
    return encoder


def pretrained() -> list[tuple[str, str]]:
    """Architecture and tag of all published weights; loads none of them."""
    return [
        (str(arch), str(tag)) for arch, tag in require_vision("open_clip", _EXTRA).list_pretrained()
    ]


class OpenClipEncoder(TorchEncoder):
    """An OpenCLIP model; see `load`."""

    def __init__(self, model: Any, tokenizer: Any, device: Any, model_id: str) -> None:
        self.model = frozen(model)
        self.tokenizer = tokenizer
        self.device = device
        self.model_id = model_id
        self.prompts = _PROMPTS
        self.max_tokens = int(tokenizer.context_length)
        self.temperature = inverse_scale(model)
        self.preprocess = recipe(model.visual.preprocess_cfg)

    def count_tokens(self, texts: Sequence[str]) -> npt.NDArray[np.intp]:
        """Tokens of each text with the two that mark its ends, before any cut, shape (n,)."""
        inner = getattr(self.tokenizer, "tokenizer", None)
        if inner is None:
            counts = [len(self.tokenizer.encode(text)) + 2 for text in texts]
        else:
            clean = getattr(self.tokenizer, "clean_fn", str)
            counts = [len(inner(clean(text)).input_ids) for text in texts]
        return np.array(counts, dtype=np.intp)

    def _image_rows(self, tensor: Any) -> Any:
        # CoCa normalises unless told otherwise.
        return self.model.encode_image(tensor, normalize=False)

    def _text_rows(self, texts: Sequence[str]) -> Any:
        tokens = self.tokenizer(list(texts)).to(self.device)
        return self.model.encode_text(tokens, normalize=False)


def _parsed(library: Any, model: str) -> tuple[str, str, str]:
    """Architecture, weights and the name that a store remembers."""
    for schema in ("local-dir:", "hf-hub:"):
        if model.startswith(schema):
            return model, schema, _labelled(model)
    arch, slash, weights = model.partition("/")
    names = library.list_models()
    if arch not in names:
        near = get_close_matches(arch, names, 3, 0.4) or names
        raise DistnormError(
            f"the architecture {arch!r} in 'open_clip:{model}'",
            f"one of {len(names)}, such as {', '.join(near[:5])}",
            "write open_clip:ARCH/WEIGHTS; open_clip.list_models() lists them",
        )
    tags = library.list_pretrained_tags_by_model(arch)
    if not slash:
        raise DistnormError(
            f"'open_clip:{model}' without weights",
            f"a tag ({', '.join(tags) or 'none is published'}), a file, or 'random'",
            f"write open_clip:{arch}/WEIGHTS",
        )
    if weights in _RANDOM or weights in tags:
        return arch, weights, model
    file = Path(weights).expanduser()
    if not file.is_file():
        raise DistnormError(
            f"weights {weights!r} of {arch}, neither a tag nor a file",
            f"one of: {', '.join(tags)}" if tags else "a file: no tag is published",
            f"write open_clip:{arch}/TAG or open_clip:{arch}//path/to/file.pt",
        )
    return arch, str(file), f"{arch}/{file.name}@{file_digest(file)}"


def _labelled(model: str) -> str:
    schema, _, place = model.partition(":")
    if schema == "hf-hub":
        return model
    folder = Path(place).expanduser()
    if not (folder / "open_clip_config.json").is_file():
        raise DistnormError(
            f"the folder {place!r} for open_clip",
            "one with open_clip_config.json and weights",
            "write open_clip:local-dir:/path/to/folder",
        )
    files = [f for end in ("safetensors", "bin", "pth") for f in sorted(folder.glob(f"*.{end}"))]
    if not files:
        raise DistnormError(
            f"no weights in {place!r}", "a .safetensors, .bin or .pth file", "put it there"
        )
    return f"{schema}:{folder.resolve().name}@{file_digest(files[0])}"


def _built(library: Any, arch: str, weights: str, settings: dict[str, Any]) -> Any:
    """A model with weights, strictly loaded."""
    if arch.startswith(("local-dir:", "hf-hub:")):
        return library.create_model(arch, require_pretrained=True, **settings)
    if Path(weights).is_file() and _is_torchscript(weights):
        return _from_torchscript(library, arch, weights, settings)
    tag = library.get_pretrained_cfg(arch, weights)
    activation = {"quick_gelu": bool(tag.get("quick_gelu", False))} if tag else {}
    with warnings.catch_warnings():
        # It warns when the name and the tag differ in this; here the tag has decided.
        warnings.filterwarnings("ignore", message="QuickGELU mismatch")
        return library.create_model(
            arch, weights, require_pretrained=True, **activation, **settings
        )


def _random(library: Any, arch: str, seed: int, settings: dict[str, Any]) -> Any:
    torch = require("torch", _EXTRA)
    warnings.warn(
        f"{arch} has RANDOM weights (seed {seed}): its rows mean nothing. Good for measuring "
        "speed; name a tag or a file for anything else",
        RandomWeightsWarning,
        stacklevel=4,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return library.create_model(arch, pretrained_text=False, **settings)


def _is_torchscript(file: str) -> bool:
    """OpenAI's own files are archives of code and weights."""
    import zipfile

    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _from_torchscript(library: Any, arch: str, file: str, settings: dict[str, Any]) -> Any:
    torch = require("torch", _EXTRA)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        state = torch.jit.load(file, map_location="cpu").state_dict()
    for key in ("input_resolution", "context_length", "vocab_size"):
        state.pop(key, None)
    towers = library.create_model(arch, quick_gelu=True, **settings)
    towers.load_state_dict(state)
    return towers


def _local_tokenizer(library: Any, arch: str, folder: str) -> Any:
    if not Path(folder).expanduser().is_dir():
        raise DistnormError(f"tokenizer {folder!r}", "a folder", "name a tokenizer's folder")
    config = library.get_model_config(arch)["text_cfg"]
    return library.tokenizer.HFTokenizer(
        str(Path(folder).expanduser()),
        context_length=config.get("context_length", library.tokenizer.DEFAULT_CONTEXT_LENGTH),
        tokenizer_mode=config.get("tokenizer_mode"),
        **config.get("tokenizer_kwargs", {}),
    )


def recipe(config: dict[str, Any]) -> Pixels:
    """The steps of ``preprocess_cfg``."""
    size = config["size"]
    height, width = (size, size) if isinstance(size, int) else size
    return Pixels(
        (int(height), int(width)),
        resize=config.get("resize_mode") or "shortest",
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        resample=_RESAMPLE[config.get("interpolation") or "bicubic"],
        fill=config.get("fill_color", 0),
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold OpenCLIP's own log lines back: what matters of them is said in errors here."""
    root = logging.getLogger()
    # Without any handler its first line would install one for the whole process.
    handler = logging.NullHandler()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn what OpenCLIP and its hub raise into one line."""
    try:
        yield
    except DistnormError:
        raise
    except Exception as error:
        words = one_line(error)
        if "state_dict" in words or "pos_embed" in words:
            raise DistnormError(
                f"weights of another architecture for {name}: {words}",
                "a checkpoint of the architecture named",
                "name the architecture that it was trained with",
            ) from error
        if _unreachable(error):
            raise DistnormError(
                f"{name}, which cannot be fetched: {words}",
                "a hub within reach, or the files in its cache",
                "name a local file, open_clip:ARCH//path/to/file.pt, or a folder, "
                "open_clip:local-dir:/path; tokenizer= takes a tokenizer's folder",
            ) from error
        raise DistnormError(f"{name}: {words}", "files of OpenCLIP", "check the file") from error


def _unreachable(error: BaseException | None) -> bool:
    """Whether a hub or a network is behind an error."""
    words = ("download", "offline", "connect", "hub", "resolve", "cached", "timed out", "urlopen")
    while error is not None:
        if isinstance(error, ConnectionError) or any(w in str(error).lower() for w in words):
            return True
        error = error.__cause__ or error.__context__
    return False
