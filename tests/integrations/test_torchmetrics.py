"""CLIPScore with DN: the mean of corrected scores, added up over batches and processes."""

import numpy as np
import pytest

import distnorm

torch = pytest.importorskip("torch", reason="needs the extra 'torchmetrics'")
try:
    pytest.importorskip("torchmetrics", reason="needs the extra 'torchmetrics'")
except RuntimeError as error:
    # torchmetrics imports whatever torchvision there is.
    if "torchvision::" not in str(error):
        raise
    pytest.skip("a torchvision that does not fit torch", allow_module_level=True)
from distnorm.integrations.torchmetrics import NormalizedCLIPScore


@pytest.fixture
def norm(words):
    return distnorm.make("dn").fit(images=words.log[:100], texts=words.log[100:])


def test_mean_over_batches_and_its_clipped_form(words, norm):
    X, Y = torch.tensor(words.log[:50]), torch.tensor(words.log[100:150])
    S = norm.paired_similarity(words.log[:50], words.log[100:150])
    assert (S < 0).any()
    metric, clipped = NormalizedCLIPScore(norm), NormalizedCLIPScore(norm, clip=True, weight=2.5)
    for batch in (slice(20), slice(20, 50)):
        metric.update(X[batch], Y[batch])
        clipped.update(X[batch], Y[batch])
    assert float(metric.compute()) == pytest.approx(100 * S.mean(), rel=1e-5)
    assert float(clipped.compute()) == pytest.approx(2.5 * np.maximum(S, 0).mean(), rel=1e-5)


def test_what_processes_saw_is_added_up(words, norm):
    X, Y = torch.tensor(words.log[:50]), torch.tensor(words.log[100:150])
    one, other, all_of_it = (NormalizedCLIPScore(norm) for _ in range(3))
    one.update(X[:10], Y[:10])
    other.update(X[10:], Y[10:])
    all_of_it.update(X, Y)
    one.merge_state(other)
    assert float(one.compute()) == pytest.approx(float(all_of_it.compute()), rel=1e-6)
