"""What does a correction do to my model's figure in MTEB?

The same task twice, without and with `CorrectedSearch`. The task is of MTEB's own kind, made here
so that nothing is downloaded; take `mteb.get_task(...)`, and statistics from its train split.

Needs: pip install 'distnorm[torch]' mteb
Run: python examples/in_mteb.py
"""

from __future__ import annotations

from typing import Any

import mteb
import numpy as np
from make_vectors import synthetic_pairs
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.models.model_meta import ModelMeta
from mteb.models.search_wrappers import SearchEncoderWrapper

import distnorm
from datasets import Dataset
from distnorm.integrations.mteb import CorrectedSearch

answers, questions = synthetic_pairs(600)  # synthetic vectors
rows = {f"answer {i}": row for i, row in enumerate(answers)}
rows |= {f"question {i}": row for i, row in enumerate(questions)}
asked = range(500, 600)
norm = distnorm.make("nnn", sides=("query", "document"))
norm.fit(queries=questions[:500], documents=answers[:500])


class Mine:
    """Your model."""

    mteb_model_meta = ModelMeta.create_empty({"name": "own/rows", "revision": "1"})

    def encode(self, inputs: Any, **options: Any) -> np.ndarray:
        """Rows of sentences."""
        return np.stack([rows[text] for batch in inputs for text in batch["text"]])

    def similarity(self, one: Any, other: Any) -> Any:
        """Cosines."""
        return one @ other.T

    def similarity_pairwise(self, one: Any, other: Any) -> Any:
        """Cosines of pairs."""
        return (one * other).sum(axis=1)


class Task(AbsTaskRetrieval):
    """100 questions, each with one answer among 100."""

    metadata = mteb.get_task("NanoNFCorpusRetrieval").metadata.model_copy(
        update={"eval_splits": ["test"]}
    )

    def load_data(self, **options: Any) -> None:
        """What a task of MTEB's downloads."""

        def column(word: str) -> Dataset:
            ids = [f"{word[0]}{i}" for i in asked]
            return Dataset.from_dict({"id": ids, "text": [f"{word} {i}" for i in asked]})

        self.dataset = {
            "default": {
                "test": {
                    "queries": column("question"),
                    "corpus": column("answer"),
                    "relevant_docs": {f"q{i}": {f"a{i}": 1} for i in asked},
                    "top_ranked": None,
                }
            }
        }
        self.data_loaded = True


for name, backend in {"as it is": None, "corrected": CorrectedSearch(norm)}.items():
    model = SearchEncoderWrapper(Mine(), index_backend=backend)
    result = mteb.evaluate(
        model, Task(), cache=None, encode_kwargs={"batch_size": 32}, show_progress_bar=False
    )
    print(f"{name:10} recall@1 {result.task_results[0].scores['test'][0]['recall_at_1']:.3f}")
