"""``albef:FILE``, ``tcl:FILE``: ALBEF and TCL from their authors' checkpoint files.

    image row = vision_proj(ViT(pixels)[first token])
    text row  = text_proj(BERT(tokens)[first token]),  the layers before the first cross-attention

ALBEF is Li et al., NeurIPS 2021. TCL (Yang et al., CVPR 2022) trains the same architecture with
further losses within each modality; its files hold the same keys. The towers are shaped by the
tensors themselves; see `distnorm.encoders.albef.checkpoint`.

The authors' text preparation is kept: lower case, punctuation removed, at most 30 words, ``[CLS]``
before them and no ``[SEP]`` after. Needs the ``albef`` extra, and BERT's vocabulary
(``bert-base-uncased``): a ``vocab.txt`` or a folder that holds one, beside the checkpoint or named
by ``tokenizer=``. ``image_size`` is the side of the pictures (positions are interpolated);
``weights_only=False`` also unpickles code in the file: for files that you trust.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.encoders.albef.checkpoint import built, checkpoint_parts, read
from distnorm.encoders.fingerprints import file_digest
from distnorm.encoders.pixels import Pixels
from distnorm.encoders.torch_encoder import TorchEncoder, device_and_dtype, frozen, require_vision
from distnorm.errors import DistnormError

__all__ = ["AlbefEncoder", "load", "load_tcl", "prepared"]

_EXTRA = "albef"
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_WORDS, _TOKENS = 30, 30


def load(
    model: str,
    *,
    device: str = "auto",
    precision: str = "auto",
    tokenizer: str | None = None,
    image_size: int | None = None,
    weights_only: bool = True,
    family: str = "albef",
) -> AlbefEncoder:
    """A checkpoint such as ``ALBEF.pth``, or a ``checkpoint_best.pth`` of the retrieval code."""
    for module in ("timm", "transformers"):
        require_vision(module, _EXTRA)
    torch_device, dtype = device_and_dtype(device, precision, _EXTRA)
    file = Path(model).expanduser()
    name = f"{family}:{model}"
    if not file.is_file():
        raise DistnormError(f"{name!r}", "a checkpoint file", f"write {family}:/path/to/file.pth")
    words = _vocabulary(file, tokenizer, name)
    parts = checkpoint_parts(read(file, name, weights_only), name)
    towers = frozen(built(parts, image_size, name))
    rows = towers.text_encoder.config.vocab_size
    if len(words) > rows:
        raise DistnormError(
            f"a vocabulary of {len(words)} words for {name}",
            f"one of {rows}",
            "take the vocab.txt of the BERT that it was trained with (bert-base-uncased)",
        )
    side = towers.visual_encoder.patch_embed.img_size[0]
    encoder = AlbefEncoder(towers.to(device=torch_device, dtype=dtype), words, side)
    encoder.device, encoder.dtype = torch_device, dtype
    encoder.model_id = f"{family}:{file.name}@{file_digest(file)}"
    if image_size is not None:
        encoder.model_id += f"-{side}px"
    temperature = parts["other"].get("temp")
    encoder.temperature = None if temperature is None else float(temperature)
    encoder.dimension = int(parts["text_proj"]["weight"].shape[0])
    return encoder


def load_tcl(model: str, **options: Any) -> AlbefEncoder:
    """A TCL checkpoint, such as ``TCL_4M.pth``; options and errors are those of `load`."""
    return load(model, family="tcl", **options)


class AlbefEncoder(TorchEncoder):
    """An ALBEF or TCL checkpoint; its model has the two encoders and their projections."""

    prompts = ("a photo of a {c}.",)

    def __init__(self, model: Any, words: Sequence[str], side: int) -> None:
        self.model = model
        self.max_tokens = _TOKENS
        self.preprocess = Pixels((side, side), resize="squash", mean=_MEAN, std=_STD)
        self._numbers = {word: number for number, word in enumerate(words)}
        self.tokenizer = _tokenizer(self._numbers)

    def count_tokens(self, texts: Sequence[str]) -> npt.NDArray[np.intp]:
        """Tokens of each text as prepared, with ``[CLS]``, before any cut, shape (n,)."""
        return np.array([len(row) for row in self._tokens(texts, None)], dtype=np.intp)

    def _tokens(self, texts: Sequence[str], words: int | None) -> list[list[int]]:
        first = self._numbers["[CLS]"]
        encodings = self.tokenizer.encode_batch(
            [prepared(text, words) for text in texts], add_special_tokens=False
        )
        return [[first, *encoding.ids] for encoding in encodings]

    def _image_rows(self, tensor: Any) -> Any:
        return self.model.vision_proj(self.model.visual_encoder.forward_features(tensor)[:, 0])

    def _text_rows(self, texts: Sequence[str]) -> Any:
        import torch

        rows = [row[:_TOKENS] for row in self._tokens(texts, _WORDS)]
        ids = torch.full(
            (len(rows), max(map(len, rows))), self._numbers["[PAD]"], device=self.device
        )
        mask = torch.zeros_like(ids)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = torch.tensor(row)
            mask[place, : len(row)] = 1
        states = self.model.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        return self.model.text_proj(states[:, 0])


def prepared(text: str, words: int | None = _WORDS) -> str:
    """A caption as the authors clean it, cut after some words.

    Examples
    --------
    >>> prepared("A well-known person's hat, (red)!")
    'a well known persons hat red'
    """
    text = re.sub(r"[,.'!?\"()*#:;~]", "", text.lower())
    text = text.replace("-", " ").replace("/", " ").replace("<person>", "person")
    return " ".join(text.split()[:words])


def _vocabulary(file: Path, tokenizer: str | None, name: str) -> list[str]:
    """BERT's words, in the order of their numbers."""
    place = file.parent if tokenizer is None else Path(tokenizer).expanduser()
    vocabulary = place / "vocab.txt" if place.is_dir() else place
    if not vocabulary.is_file():
        raise DistnormError(
            f"no BERT vocabulary for {name}: no file {str(vocabulary)!r}",
            "the vocab.txt of bert-base-uncased",
            "put it beside the checkpoint, or pass tokenizer='/path/to/vocab.txt'",
        )
    words = vocabulary.read_text("utf-8").rstrip("\n").split("\n")
    absent = {"[PAD]", "[UNK]", "[CLS]"} - set(words)
    if absent:
        raise DistnormError(
            f"{str(vocabulary)!r} without {', '.join(sorted(absent))}",
            "BERT's vocabulary, one word per line",
            "take the vocab.txt of bert-base-uncased",
        )
    return words


def _tokenizer(numbers: Mapping[str, int]) -> Any:
    """BERT's word pieces, lower case."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.WordPiece(dict(numbers), unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer
