"""A retrieval task of mteb's own kind, offline, by dot product and corrected, side by side."""

import numpy as np
import pytest

import distnorm
from distnorm.integrations.mteb import CorrectedSearch


@pytest.fixture
def task():
    """Queries and documents with a gap between the sides and documents that are hubs."""
    rng = np.random.default_rng(4)
    meaning = rng.normal(size=(160, 24))
    gap = 1.5 * rng.normal(size=24)
    queries = distnorm.normalize(meaning + 1.2 * rng.normal(size=(160, 24)) + gap)
    documents = distnorm.normalize(meaning + 1.2 * rng.normal(size=(160, 24)))
    norm = distnorm.make("dn", strength=1.0, sides=("query", "document"))
    norm.fit(queries=queries[80:], documents=documents[80:])
    return norm, queries[:80], documents[:80]


def test_lists_are_those_of_the_normalization(task):
    norm, Q, X = task
    search = CorrectedSearch(norm)
    search.add_documents(3 * X[:50], [str(i) for i in range(50)])
    search.add_documents(X[50:], [str(i) for i in range(50, 80)])
    scores, places = search.search(2 * Q, 5)
    want = np.asarray(norm.similarity(Q, X, query="query"), np.float64)
    order = np.argsort(-want, axis=1, kind="stable")[:, :5]
    np.testing.assert_array_equal(places, order)
    np.testing.assert_allclose(scores, np.take_along_axis(want, order, axis=1), atol=1e-5)
    some = {"a": ["7", "3", "60"], "b": ["0", "1", "2"]}
    scores, places = search.search(Q[:2], 2, top_ranked=some, query_idx_to_id={0: "a", 1: "b"})
    assert places[0] == list(np.argsort(-want[0, [7, 3, 60]])[:2])
    assert places[1] == list(np.argsort(-want[1, [0, 1, 2]])[:2])
    search.clear()
    with pytest.raises(distnorm.DistnormError, match="add_documents first"):
        search.search(Q, 5)


def test_rows_without_ids_are_refused(task):
    with pytest.raises(distnorm.DistnormError, match="80 rows and 1 ids"):
        CorrectedSearch(task[0]).add_documents(task[2], ["a"])


def test_mteb_itself_runs_a_task_with_it(task):
    weight = "needs mteb, which is 280 MB with its own polars: not in .ci/run"
    mteb = pytest.importorskip("mteb", reason=weight)
    datasets = pytest.importorskip("datasets", reason=weight)
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.models.model_meta import ModelMeta
    from mteb.models.search_wrappers import SearchEncoderWrapper

    norm, Q, X = task
    rows = {**{f"q {i}": q for i, q in enumerate(Q)}, **{f"d {i}": x for i, x in enumerate(X)}}

    class Given:
        mteb_model_meta = ModelMeta.create_empty({"name": "own/given", "revision": "1"})

        def encode(self, inputs, **options):
            return np.stack([rows[text] for batch in inputs for text in batch["text"]])

        def similarity(self, one, other):
            return one @ other.T

        def similarity_pairwise(self, one, other):
            return (one * other).sum(axis=1)

    class Task(AbsTaskRetrieval):
        metadata = mteb.get_task("NanoNFCorpusRetrieval").metadata.model_copy(
            update={"eval_splits": ["test"]}
        )

        def load_data(self, **options):
            def column(start, n):
                return datasets.Dataset.from_dict(
                    {
                        "id": [f"{start}{i}" for i in range(n)],
                        "text": [f"{start} {i}" for i in range(n)],
                    }
                )

            split = {
                "queries": column("q", len(Q)),
                "corpus": column("d", len(X)),
                "relevant_docs": {f"q{i}": {f"d{i}": 1} for i in range(len(Q))},
                "top_ranked": None,
            }
            self.dataset = {"default": {"test": split}}
            self.data_loaded = True

    figures = {}
    for name, backend in (("dot", None), ("corrected", CorrectedSearch(norm))):
        wrapped = SearchEncoderWrapper(Given(), index_backend=backend)
        result = mteb.evaluate(
            wrapped, Task(), cache=None, encode_kwargs={"batch_size": 32}, show_progress_bar=False
        )
        figures[name] = result.task_results[0].scores["test"][0]["recall_at_1"]
    for name, scores in (("dot", Q @ X.T), ("corrected", norm.similarity(Q, X))):
        hit = (np.argmax(np.asarray(scores), axis=1) == np.arange(len(Q))).mean()
        assert figures[name] == pytest.approx(hit, abs=1e-5)
    assert figures["corrected"] > figures["dot"] + 0.05
