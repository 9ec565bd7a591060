"""sentence-transformers: a last module that shifts queries, and score functions for its evaluators.

QueryShift: encode_query(q) = q - s m;  encode_document(y) = y
score_function: S(q, y) of any method, for InformationRetrievalEvaluator(score_functions=...)
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distnorm.errors import DistnormError, require
from distnorm.integrations.ranking import side_of_queries
from distnorm.normalization import ScoreNormalization, load

if TYPE_CHECKING:
    import torch
    from sentence_transformers.base.modules import Module
else:
    torch = require("torch", "st")
    Module = require("sentence_transformers.base.modules", "st").Module

__all__ = ["QueryShift", "score_function"]

_FILE = "norm.safetensors"


class QueryShift(Module):
    """Append to a model: ``model.append(QueryShift(norm))``; saved and loaded with it.

    What `encode_query` gives is shifted; `encode_document` and plain `encode` are left alone.
    ``norm`` shifts queries (dn, dn*, ridge) and was fitted on the model's own unit rows.
    ``query_side`` is "query" or "text" if left out and the normalization has one of these.
    """

    config_keys = ["query_side"]  # noqa: RUF012
    forward_kwargs = {"task"}  # noqa: RUF012

    def __init__(self, norm: ScoreNormalization, query_side: str | None = None) -> None:
        super().__init__()
        self.norm, self.query_side = norm, side_of_queries(norm, query_side)
        norm.correction(self.query_side).require_shift()

    def forward(self, features: dict[str, Any], task: str | None = None) -> dict[str, Any]:
        """Unit rows of a batch; less s times the mean if they are queries."""
        rows = torch.nn.functional.normalize(features["sentence_embedding"], dim=1)
        if task == "query":
            rows = self.norm.shift_queries(rows, modality=self.query_side)
        features["sentence_embedding"] = rows
        return features

    def save(self, output_path: str, *args: Any, **options: Any) -> None:
        """The statistics as distnorm saves them, beside the module's own settings."""
        self.norm.save(Path(output_path) / _FILE)
        self.save_config(output_path)

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **options: Any) -> QueryShift:
        """From the folder of a saved model, or from a hub."""
        places = ("token", "cache_folder", "revision", "local_files_only")
        given = {name: options[name] for name in places if name in options}
        path = cls.load_file_path(model_name_or_path, _FILE, subfolder=subfolder, **given)
        if path is None:
            raise DistnormError(
                f"{model_name_or_path}/{subfolder} without {_FILE}",
                "the statistics that were saved with the model",
                "save the model again",
            )
        return cls(load(path), **cls.load_config(model_name_or_path, subfolder=subfolder, **given))


def score_function(
    norm: ScoreNormalization, query_side: str | None = None
) -> Callable[[Any, Any], Any]:
    """Two-sided scores in the form of sentence-transformers' own ``util.dot_score``.

    It takes queries (n, d) and documents (m, d) and gives scores (n, m), by any ``norm`` that
    scores pairs, fitted on rows that are not evaluated.
    """
    first = side_of_queries(norm, query_side) == norm.sides[0]

    def score(queries: Any, documents: Any) -> Any:
        """Corrected scores of every query with every document."""
        q, y = (
            torch.nn.functional.normalize(torch.as_tensor(x), dim=1) for x in (queries, documents)
        )
        return norm.similarity(q, y) if first else norm.similarity(y, q).T

    return score
