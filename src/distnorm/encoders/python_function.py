"""``python:module:function``: one's own function from a list of texts to their rows.

The function takes a list of str and returns (n, d) numbers: an array of any library, or lists. A
name may also be that of an `Encoder` at hand. Modules are looked for as Python does, and then in
the working directory.
"""

from __future__ import annotations

import os
import pkgutil
import sys
from collections.abc import Callable, Sequence
from typing import Any

from distnorm.encoders.base import Encoder
from distnorm.encoders.texts_only import ForeignTexts
from distnorm.errors import DistnormError

__all__ = ["FunctionEncoder", "load"]

_FORM = "python:module:function, such as python:my_model:embed"


def load(model: str, *, device: str = "auto") -> Encoder:
    """The function (or `Encoder`) of a name; the function itself knows its ``device``."""
    module, colon, attribute = model.partition(":")
    if not (colon and module and attribute):
        raise DistnormError(f"the model 'python:{model}'", _FORM, "write it so")
    if device != "auto":
        raise DistnormError(
            f"device {device!r} for 'python:{model}'", "none", "choose it in the function"
        )
    found = _resolve(module, attribute)
    if isinstance(found, Encoder):
        return found
    if isinstance(found, type) or not callable(found):
        raise DistnormError(
            f"'python:{model}', a {type(found).__name__}",
            "a function that takes a list of texts, or an Encoder",
            "name the function",
        )
    return FunctionEncoder(found, f"python:{model}")


class FunctionEncoder(ForeignTexts):
    """Texts embedded by a function; see `load`."""

    def __init__(self, function: Callable[[list[str]], Any], model_id: str) -> None:
        self.model_id = model_id
        self._function = function

    def rows_of(self, texts: Sequence[str]) -> Any:
        """What the function returns."""
        try:
            return self._function(list(texts))
        except DistnormError:
            raise
        except Exception as error:
            raise DistnormError(
                f"{_named(error)} in {self.model_id}", "rows of texts", "mend the function"
            ) from error


def _resolve(module: str, attribute: str) -> Any:
    """An attribute of a module, which may lie in the working directory."""
    here, name = os.getcwd(), f"python:{module}:{attribute}"
    try:
        try:
            return pkgutil.resolve_name(f"{module}:{attribute}")
        except ModuleNotFoundError as error:
            if here in sys.path or error.name != module.partition(".")[0]:
                raise
            sys.path.insert(0, here)
            return pkgutil.resolve_name(f"{module}:{attribute}")
    except Exception as error:
        raise DistnormError(
            f"{name!r}: {_named(error)}",
            _FORM,
            "check the names; a module is looked for on Python's path and in this folder",
        ) from error


def _named(error: Exception) -> str:
    words = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
