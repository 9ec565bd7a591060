"""Result files as `clip_benchmark eval` writes them and `clip_benchmark build` reads them."""

import json

import numpy as np
import pytest

import distnorm
from distnorm.integrations.clip_benchmark import read_result, write_results


@pytest.fixture(scope="module")
def comparison(words):
    return distnorm.compare_retrieval(
        words.log[:60], words.log[60:120], methods=["dot", "dn"], repeats=2, diagnostics=False
    )


def test_one_file_per_method_with_their_names(comparison, tmp_path):
    paths = write_results(
        comparison, tmp_path / "new", dataset="wds/mine", model="ViT-B-32", pretrained="openai"
    )
    assert [path.name for path in paths] == [
        "wds-mine_openai_ViT-B-32_en_dot@0.json",
        "wds-mine_openai_ViT-B-32_en_dn@0.5.json",
    ]
    dn = read_result(paths[1])
    assert dn["task"] == "zeroshot_retrieval"
    assert dn["model"] + " " + dn["pretrained"] == "ViT-B-32 openai+dn@0.5"
    assert dn["protocol"]["statistics"] == "held-out"
    means = {r["method"]: r["metrics"] for r in comparison.to_dict()["results"]}
    key = "image_retrieval_recall@5"
    assert dn["metrics"][key] == means["dn"][key]["mean"]
    assert 0 <= dn["metrics"][key] <= 1


def test_what_is_no_result_is_refused(comparison, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"dataset": "x", "metrics": {}}))
    with pytest.raises(distnorm.DistnormError, match="without model, pretrained, task, language"):
        read_result(tmp_path / "a.json")
    (tmp_path / "b.json").write_text("[1, 2")
    with pytest.raises(distnorm.DistnormError, match="clip_benchmark eval"):
        read_result(tmp_path / "b.json")
    with pytest.raises(distnorm.DistnormError, match=r"none\.json"):
        read_result(tmp_path / "none.json")


def test_a_task_that_they_have_not(words, tmp_path):
    judged = distnorm.compare_captions(
        words.log[:60], words.log[60:120], np.arange(60), methods=["dot", "dn"], repeats=2
    )
    with pytest.raises(distnorm.DistnormError, match="a comparison of captions"):
        write_results(judged, tmp_path, dataset="x", model="m", pretrained="p")
