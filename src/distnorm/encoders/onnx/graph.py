"""One exported tower and its habits: names, widths of numbers, fixed shapes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.encoders.base import Rows
from distnorm.encoders.fingerprints import file_digest, one_line
from distnorm.errors import DistnormError

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


class Graph:
    """An ONNX file in onnxruntime.

    Parameters
    ----------
    runtime : module
        onnxruntime.
    file : Path
    device : str
        "auto", "cpu" or "cuda".
    threads : int or None

    Attributes
    ----------
    digest : str
        Of the file.
    inputs : dict
        Name to what onnxruntime says of it.
    fixed_length : int or None
        Tokens that the model takes, if it takes one number of them.

    Raises
    ------
    DistnormError
        For a file that onnxruntime cannot read, or a device that it has not.
    """

    def __init__(self, runtime: Any, file: Path, device: str, threads: int | None) -> None:
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

    @property
    def takes_pictures(self) -> bool:
        """Whether one of its inputs has four axes."""
        return any(self._usual(name) == "pixel_values" for name in self.inputs)

    def rows(
        self,
        side: str,
        given: Mapping[str, npt.NDArray[Any]],
        other: Mapping[str, npt.NDArray[Any]],
    ) -> Rows:
        """Rows of one side.

        Parameters
        ----------
        side : {"image", "text"}
        given : mapping of arrays of shape (n, ...)
            By the usual names.
        other : mapping
            What a model of both towers wants besides.

        Raises
        ------
        DistnormError
            If the model takes something else, or gives no rows.
        """
        feed = {name: self._fitting(name, {**given, **other}) for name in self.inputs}
        output = self._output(side)
        first = next(entry for name, entry in self.inputs.items() if self._usual(name) in given)
        batch = first.shape[0]
        n = len(next(iter(given.values())))
        if not isinstance(batch, int) or batch == n:
            found = self._run(output, feed)
        else:
            # Exported for one number of rows: that many at a time, the last ones repeated.
            mine = {name for name in feed if self._usual(name) in given}
            parts = []
            for at in range(0, n, batch):
                rows = np.minimum(np.arange(at, at + batch), n - 1)
                some = {k: v[rows] if k in mine else v for k, v in feed.items()}
                parts.append(self._run(output, some))
            found = np.concatenate(parts)[:n]
        if found.ndim != 2:
            raise DistnormError(
                f"{self.file.name} whose {output!r} has shape {found.shape}",
                "one row each",
                "export the model with its projection",
            )
        return np.asarray(found, dtype=np.float32)

    def _run(self, output: str, feed: dict[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        try:
            found: npt.NDArray[Any] = self._session.run([output], feed)[0]
        except Exception as error:
            raise DistnormError(
                f"{self.file.name} which refuses its inputs: {one_line(error)}",
                "pixels and tokens of the shapes that it was exported for",
                "check preprocessor_config.json and the tokenizer's length, or export it again",
            ) from error
        return found

    def _usual(self, name: str) -> str:
        """The usual name of an input; what has four axes are pixels."""
        return "pixel_values" if len(self.inputs[name].shape) == 4 else name

    def _fitting(self, name: str, given: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        usual = self._usual(name)
        entry = self.inputs[name]
        if usual not in given:
            raise DistnormError(
                f"{self.file.name} which takes {name!r}",
                f"inputs out of {', '.join(given)}",
                "export it with the usual names",
            )
        if entry.type not in _DTYPES:
            raise DistnormError(
                f"{self.file.name} which takes {name!r} as {entry.type}",
                f"one of: {', '.join(_DTYPES)}",
                "export it with one of these",
            )
        return given[usual].astype(_DTYPES[entry.type], copy=False)

    def _output(self, side: str) -> str:
        entries = self._session.get_outputs()
        names = [entry.name for entry in entries]
        for name in _OUTPUTS[side]:
            if name in names:
                return name
        flat = [entry.name for entry in entries if len(entry.shape or ()) == 2]
        return str((flat or names)[0])


def _providers(runtime: Any, device: str) -> list[str]:
    there = runtime.get_available_providers()
    gpu = "CUDAExecutionProvider"
    if device == "auto":
        device = "cuda" if gpu in there else "cpu"
    if device not in ("cpu", "cuda") or (device == "cuda" and gpu not in there):
        found = "auto, cpu" + (", cuda" if gpu in there else "")
        raise DistnormError(
            f"device {device!r} for onnx",
            f"one of: {found}",
            "choose one that is there; onnxruntime-gpu brings cuda",
        )
    return [gpu, "CPUExecutionProvider"] if device == "cuda" else ["CPUExecutionProvider"]
