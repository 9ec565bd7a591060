"""What the families that run on torch share: device, precision, pixels to tensors, rows back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.encoders.base import Encoder, Rows
from distnorm.encoders.fingerprints import one_line
from distnorm.encoders.pixels import Pixels
from distnorm.errors import DistnormError, require

__all__ = [
    "RandomWeightsWarning",
    "TorchEncoder",
    "choose_device",
    "choose_precision",
    "device_and_dtype",
    "frozen",
    "inverse_scale",
    "require_vision",
    "to_rows",
    "torchvision_trouble",
]

_PRECISIONS = ("float32", "float16", "bfloat16")


class RandomWeightsWarning(UserWarning):
    """A model was asked for without weights: good for measuring speed, and for nothing else."""


class TorchEncoder(Encoder):
    """An encoder around a frozen torch module; ``dtype`` is that of what its image tower takes."""

    model: Any
    device: Any
    dtype: Any

    def encode_pixels(self, pixels: npt.NDArray[Any]) -> Rows:
        """Raw image rows, shape (n, d), of a stack of `preprocess` results."""
        import torch

        with torch.inference_mode():
            return to_rows(self._image_rows(self.image_tensor(pixels)))

    def image_tensor(self, pixels: npt.NDArray[Any]) -> Any:
        """What the image tower takes, of a stack of `preprocess` results, on the model's device."""
        import torch

        recipe = self.preprocess
        if recipe is None:
            raise DistnormError(f"pixels for {self.model_id}", "texts", "it takes no pictures")
        if not isinstance(recipe, Pixels):
            if pixels.ndim < 3 or pixels.dtype != np.float32:
                raise DistnormError(
                    f"pixels of shape {pixels.shape} and dtype {pixels.dtype} for {self.model_id}",
                    "a stack of float32 arrays",
                    "let preprocess make them from PIL images",
                )
            return torch.from_numpy(np.ascontiguousarray(pixels)).to(self.device, self.dtype)
        recipe.check(pixels, self.model_id)
        mean, std = (
            torch.tensor(values, device=self.device).view(1, -1, 1, 1)
            for values in (recipe.mean, recipe.std)
        )
        tensor = torch.from_numpy(np.ascontiguousarray(pixels)).to(self.device)
        tensor = tensor.permute(0, 3, 1, 2).float().div_(255)
        return tensor.sub_(mean).div_(std).to(self.dtype).contiguous()

    def _encode_texts(self, texts: Sequence[str]) -> Rows:
        import torch

        with torch.inference_mode():
            return to_rows(self._text_rows(texts))

    @abstractmethod
    def _image_rows(self, tensor: Any) -> Any:
        """Tensor of image rows."""

    @abstractmethod
    def _text_rows(self, texts: Sequence[str]) -> Any:
        """Tensor of text rows."""


def to_rows(tensor: Any) -> Rows:
    """A tensor of any device and dtype as float32 rows."""
    rows: Rows = tensor.detach().float().cpu().numpy()
    return rows


def frozen(model: Any) -> Any:
    """The module in evaluation mode, without gradients of its own."""
    return model.eval().requires_grad_(False)


def inverse_scale(model: Any) -> float | None:
    """The temperature of a model that keeps the logarithm of its inverse; None without it."""
    scale = getattr(model, "logit_scale", None)
    return None if scale is None else float((-scale.detach().float()).exp())


def device_and_dtype(device: str, precision: str, extra: str) -> tuple[Any, Any]:
    """The torch device and dtype of their names; see `choose_device` and `choose_precision`."""
    torch_device = choose_device(device, extra)
    name = choose_precision(precision, torch_device)
    return torch_device, getattr(require("torch", extra), name)


def choose_device(device: str, extra: str) -> Any:
    """The torch device of a name; "auto" is a GPU if there is one. ``extra`` brings torch."""
    torch = require("torch", extra)
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":
        device = next(name for name, usable in available.items() if usable)
    kind, _, number = device.partition(":")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    fits = not number or (number.isdigit() and int(number) < count)
    if not (available.get(kind, False) and fits):
        choices = ", ".join(["auto", *(name for name, usable in available.items() if usable)])
        raise DistnormError(f"device {device!r}", f"one of: {choices}", "choose one that is there")
    return torch.device(device)


def choose_precision(precision: str, device: Any) -> str:
    """The precision's name: "auto" is float16 on a GPU and float32 elsewhere."""
    if precision == "auto":
        return "float16" if device.type == "cuda" else "float32"
    if precision not in _PRECISIONS:
        raise DistnormError(
            f"precision {precision!r}", f"one of: auto, {', '.join(_PRECISIONS)}", "choose one"
        )
    return precision


def require_vision(module: str, extra: str) -> Any:
    """As `require`, for a library that imports torchvision, which may be of another build."""
    try:
        return require(module, extra)
    except (RuntimeError, ImportError) as error:
        trouble = torchvision_trouble(error)
        if trouble is None:
            raise
        raise trouble from error


def torchvision_trouble(error: BaseException | None) -> DistnormError | None:
    """What to say if a torchvision that does not fit torch is behind an error, else None."""
    while error is not None:
        if isinstance(error, RuntimeError) and "torchvision::" in str(error):
            return DistnormError(
                f"a torchvision that does not fit torch ({one_line(error)})",
                "both of one build",
                "reinstall both from one index, such as: pip install --force-reinstall torch "
                "torchvision --index-url https://download.pytorch.org/whl/cpu",
            )
        error = error.__cause__ or error.__context__
    return None
