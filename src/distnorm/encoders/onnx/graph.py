"""One exported tower: the names of its inputs, their number formats, fixed shapes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.encoders.base import Rows
from distnorm.encoders.fingerprints import file_digest, one_line
from distnorm.encoders.onnx.pooling import pooled
from distnorm.errors import DistnormError, require

__all__ = ["Graph"]

_DTYPES = {
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
}
_OUTPUTS = {
    "image": ("image_embeds", "image_features", "image_embedding", "pooler_output"),
    "text": (
        "text_embeds",
        "text_features",
        "text_embedding",
        "sentence_embedding",
        "pooler_output",
    ),
}

_TOKENS = ("last_hidden_state", "token_embeddings")


class Graph:
    """An ONNX file in onnxruntime, on "auto", "cpu" or "cuda".

    ``fixed_length`` is the number of tokens that the model takes, if it takes one number of them.
    """

    def __init__(self, runtime: Any, file: Path, device: str, threads: int | None) -> None:
        self._made_by = (file, device, threads)
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session = runtime.InferenceSession(
                str(file), options, providers=_providers(runtime, device)
            )
        except DistnormError:
            raise
        except Exception as error:
            raise DistnormError(
                f"{str(file)!r}: {one_line(error)}", "an ONNX model", "export it again"
            ) from error
        self.file = file
        self.digest = file_digest(file)
        self.inputs = {entry.name: entry for entry in self._session.get_inputs()}
        ids = self.inputs.get("input_ids")
        length = ids.shape[1] if ids is not None and len(ids.shape) == 2 else None
        self.fixed_length = length if isinstance(length, int) else None

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        """Pickle by what makes it anew from the same file: sessions do not travel."""
        return _opened_again, (*self._made_by, self.digest)

    @property
    def takes_pictures(self) -> bool:
        """Whether one of its inputs has four axes."""
        return any(self._usual(name) == "pixel_values" for name in self.inputs)

    def rows(
        self,
        side: str,
        arrays: Mapping[str, npt.NDArray[Any]],
        other: Mapping[str, npt.NDArray[Any]],
        pooling: str | None = None,
    ) -> Rows:
        """Rows of one side, of arrays (n, ...) by the usual names.

        ``other`` is what a model of both towers takes besides; ``pooling`` makes rows of tokens.
        """
        feed = {name: self._input(name, {**arrays, **other}) for name in self.inputs}
        output = self.output(side, pooling)
        varying = {name for name in feed if self._usual(name) in arrays}
        batch = next(entry for name, entry in self.inputs.items() if name in varying).shape[0]
        n = len(next(iter(arrays.values())))
        if not isinstance(batch, int) or batch == n:
            rows = self._run(output, feed)
        else:
            # Exported for one number of rows: that many at a time, the last ones repeated.
            parts = []
            for at in range(0, n, batch):
                chosen = np.minimum(np.arange(at, at + batch), n - 1)
                part = {k: v[chosen] if k in varying else v for k, v in feed.items()}
                parts.append(self._run(output, part))
            rows = np.concatenate(parts)[:n]
        if rows.ndim == 3 and pooling is not None:
            return pooled(rows, arrays["attention_mask"], pooling)
        if rows.ndim == 3 and side == "text":
            raise DistnormError(
                f"{self.file.name} whose {output!r} has shape {rows.shape}: a vector per token",
                "a row per text, or word of how tokens become one",
                "copy the model's 1_Pooling/config.json into the folder, or write "
                '{"pooling": "mean"} (or cls, max, lasttoken) into distnorm.json',
            )
        if rows.ndim != 2:
            raise DistnormError(
                f"{self.file.name} whose {output!r} has shape {rows.shape}",
                "one row each",
                "export the model with its projection",
            )
        return np.asarray(rows, dtype=np.float32)

    def _run(self, output: str, feed: dict[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        try:
            rows: npt.NDArray[Any] = self._session.run([output], feed)[0]
        except Exception as error:
            raise DistnormError(
                f"{self.file.name} which refuses its inputs: {one_line(error)}",
                "pixels and tokens of the shapes that it was exported for",
                "check preprocessor_config.json and the tokenizer's length, or export it again",
            ) from error
        return rows

    def _usual(self, name: str) -> str:
        """The usual name of an input; what has four axes are pixels."""
        return "pixel_values" if len(self.inputs[name].shape) == 4 else name

    def _input(self, name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        usual = self._usual(name)
        entry = self.inputs[name]
        if usual not in arrays:
            raise DistnormError(
                f"{self.file.name} which takes {name!r}",
                f"inputs out of {', '.join(arrays)}",
                "export it with the usual names",
            )
        if entry.type not in _DTYPES:
            raise DistnormError(
                f"{self.file.name} which takes {name!r} as {entry.type}",
                f"one of: {', '.join(_DTYPES)}",
                "export it with one of these",
            )
        return arrays[usual].astype(_DTYPES[entry.type], copy=False)

    def output(self, side: str, pooling: str | None = None) -> str:
        """The output that rows are made of: tokens' vectors where there is a pooling for them."""
        axes = {entry.name: len(entry.shape or ()) for entry in self._session.get_outputs()}
        wanted = [(_OUTPUTS[side], 2)]
        if pooling is not None:
            wanted.insert(0, (("sentence_embedding", *_TOKENS), 3))
        chosen: list[str] = []
        for usual, depth in wanted:
            chosen += [name for name in usual if name in axes]
            chosen += [name for name, number in axes.items() if number == depth]
        return str([*chosen, *axes][0])


def _opened_again(file: Path, device: str, threads: int | None, digest: str) -> Graph:
    graph = Graph(require("onnxruntime", "onnx"), file, device, threads)
    if graph.digest != digest:
        raise DistnormError(
            f"{str(file)!r}, which is another file now",
            "the model that was pickled",
            "load it anew",
        )
    return graph


def _providers(runtime: Any, device: str) -> list[str]:
    available = runtime.get_available_providers()
    gpu = "CUDAExecutionProvider"
    if device == "auto":
        device = "cuda" if gpu in available else "cpu"
    if device not in ("cpu", "cuda") or (device == "cuda" and gpu not in available):
        choices = "auto, cpu" + (", cuda" if gpu in available else "")
        raise DistnormError(
            f"device {device!r} for onnx",
            f"one of: {choices}",
            "choose one that is there; onnxruntime-gpu brings cuda",
        )
    return [gpu, "CPUExecutionProvider"] if device == "cuda" else ["CPUExecutionProvider"]
