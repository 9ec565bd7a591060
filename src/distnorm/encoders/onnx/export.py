"""Write an ``hf:`` encoder as a folder that ``onnx:`` reads, so that it runs without torch."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from distnorm.encoders.pixels import Pixels
from distnorm.errors import DistnormError, MissingExtraError, require
from distnorm.system.files import atomic_write

__all__ = ["Exportable", "export"]


@runtime_checkable
class Exportable(Protocol):
    """What `export` reads of an encoder: that of the family ``hf`` has it all."""

    model_id: str
    model: Any
    head: Any
    tokenizer: Any
    padding: str
    preprocess: Any
    prompts: tuple[str, ...]
    temperature: float | None
    max_tokens: int | None
    device: Any
    dtype: Any

    def text_tokens(self, texts: Sequence[str]) -> dict[str, Any]:
        """What the text tower takes of texts, by keyword."""


def export(encoder: Exportable, folder: Path | str) -> Path:
    """Export both towers, the tokenizer and the image settings.

    Parameters
    ----------
    encoder : Encoder of the family ``hf``
        In float32 on the CPU: ``load_encoder("hf:...", device="cpu")``.
    folder : path
        Made if it is not there; its files are replaced.

    Returns
    -------
    Path
        The folder, which ``load_encoder("onnx:FOLDER")`` takes.

    Raises
    ------
    DistnormError
        For another encoder, another device or precision, a tokenizer without a ``tokenizer.json``,
        or pictures of varying shapes.
    MissingExtraError
        Without torch and transformers (the extra ``hf``) or the package ``onnx``.
    """
    torch = require("torch", "hf")
    if importlib.util.find_spec("onnx") is None:
        raise MissingExtraError(
            "no module 'onnx'", "the package that writes such files", "run: pip install onnx"
        )
    if not isinstance(encoder, Exportable) or not isinstance(encoder.preprocess, Pixels):
        raise DistnormError(
            f"{encoder!r} to export",
            "an encoder of the family hf with pictures of one size",
            "load one: load_encoder('hf:...', device='cpu'); others have ONNX files of their own "
            "makers, or none",
        )
    if encoder.device.type != "cpu" or encoder.dtype != torch.float32:
        raise DistnormError(
            f"{encoder.model_id} in {encoder.dtype} on {encoder.device}",
            "float32 on the CPU",
            "load it with device='cpu', precision='float32'",
        )
    inner = getattr(encoder.tokenizer, "backend_tokenizer", None)
    if inner is None:
        raise DistnormError(
            f"a tokenizer of {encoder.model_id} without tokenizer.json",
            "one of the tokenizers library",
            "save the model with its fast tokenizer",
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tokens = encoder.text_tokens(["a", "a photo"])
    pixels = {"pixel_values": torch.zeros((2, 3, *encoder.preprocess.size))}
    head = encoder.head
    with torch.no_grad():
        _write(torch, encoder.model, head.image, pixels, "image_embeds", folder / "image.onnx")
        _write(torch, encoder.model, head.text, tokens, "text_embeds", folder / "text.onnx")
    text = {"tokenizer.json": inner.to_str(), **_settings(encoder, encoder.preprocess)}
    for name, content in text.items():
        with atomic_write(folder / name) as file:
            file.write(content.encode())
    return folder


def _settings(encoder: Exportable, pixels: Pixels) -> dict[str, str]:
    """The two JSON files: pictures as transformers writes them, and what the encoder knows."""
    height, width = pixels.before or pixels.size
    shortest = pixels.resize == "shortest"
    images = {
        "do_resize": True,
        "size": {"shortest_edge": height} if shortest else {"height": height, "width": width},
        "resample": pixels.resample,
        "do_center_crop": pixels.size != pixels.before or shortest,
        "crop_size": {"height": pixels.size[0], "width": pixels.size[1]},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(pixels.mean),
        "image_std": list(pixels.std),
    }
    model = {
        "model_id": encoder.model_id,
        "temperature": encoder.temperature,
        "prompts": list(encoder.prompts),
        "max_tokens": encoder.max_tokens,
        "padding": encoder.padding,
        "pad_token": encoder.tokenizer.pad_token,
    }
    return {
        "preprocessor_config.json": json.dumps(images, indent=2),
        "distnorm.json": json.dumps(model, indent=2, ensure_ascii=False),
    }


def _write(
    torch: Any,
    model: Any,
    rows: Callable[..., Any],
    example: dict[str, Any],
    output: str,
    file: Path,
) -> None:
    """One tower, whole or not at all."""
    names = list(example)

    class Tower(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: Any) -> Any:
            return rows(self.model, **dict(zip(names, inputs, strict=True)))

    axes = {
        name: {0: "rows"} if value.ndim == 4 or len(names) == 1 else {0: "rows", 1: "tokens"}
        for name, value in example.items()
    }
    options: dict[str, Any] = {"opset_version": 17, "input_names": names, "output_names": [output]}
    if "dynamo" in inspect.signature(torch.onnx.export).parameters:
        # Tracing takes a second where the newer way takes half a minute, and gives the same rows.
        options["dynamo"] = False
    scratch = file.with_suffix(".part")
    try:
        with warnings.catch_warnings():
            # Of the tracing: shapes that it takes for constants are those of one picture.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                Tower().eval(),
                tuple(example.values()),
                str(scratch),
                dynamic_axes={**axes, output: {0: "rows"}},
                **options,
            )
        os.replace(scratch, file)
    finally:
        scratch.unlink(missing_ok=True)
