"""``evaluate captions`` on captions of one's own: results as words, pairs, scores alone."""

from __future__ import annotations

import json

import numpy as np
import pytest

CAPTIONS = ("evaluate", "captions", "--images", "x.npy", "--captions", "c.npy", "--json", "-")


@pytest.fixture
def pairs(run, tmp_path, rng):
    images = np.load("image.npy")[:20]
    captions = np.concatenate([images, rng.permutation(images)])
    np.save("x.npy", images)
    np.save("c.npy", captions)
    np.save("o.npy", np.arange(40) % 20)
    lines = "".join(f"{i},{i + 20},{'AB'[i % 2]}\n" for i in range(20))
    (tmp_path / "p.csv").write_text("first,second,category\n" + lines)
    return ("--image-of-caption", "o.npy")


def test_pairs_give_accuracies(run, pairs):
    done = run(*CAPTIONS, *pairs, "--pairs", "p.csv")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["n_pairs"] == 20
    assert set(found["metrics"]) == {"accuracy_A", "accuracy_B", "accuracy_mean"}
    assert found["metrics"]["accuracy_mean"] > 0.9


def test_scores_alone(run, pairs):
    done = run(*CAPTIONS, *pairs)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert len(found["scores"]) == 40
    assert found["metrics"]["mean"] == pytest.approx(np.mean(found["scores"]))


def test_judgements_exclude_pairs(run, pairs):
    np.savetxt("h.txt", np.arange(40))
    done = run(*CAPTIONS, *pairs, "--pairs", "p.csv", "--human", "h.txt")
    assert done.exit_code == 2
    assert "--human excludes --pairs" in done.stderr


def test_coco_results_are_embedded_and_scored(run, tmp_path):
    for module in ("onnxruntime", "PIL", "pyarrow"):
        pytest.importorskip(module)
    from distnorm import load_encoder
    from distnorm.scenes import generate

    scenes = generate(6, world="matched")
    np.save("x.npy", load_encoder("builtin").encode_images([s.image() for s in scenes]))
    entries = [{"image_id": 7 + i, "caption": s.label} for i, s in enumerate(scenes)]
    (tmp_path / "r.json").write_text(json.dumps(entries[::-1]))
    (tmp_path / "ids.txt").write_text("".join(f"{7 + i}\n" for i in range(6)))
    data = ("evaluate", "captions", "--images", "x.npy", "--captions", "r.json", "--json", "-")
    assert "--image-ids" in run(*data, "--model", "builtin").stderr
    assert "--model" in run(*data, "--image-ids", "ids.txt").stderr
    done = run(*data, "--model", "builtin", "--image-ids", "ids.txt")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["image_ids"] == [str(12 - i) for i in range(6)]
    assert len(found["scores"]) == 6
    # The vectors' model is another one than that of the statistics, or of the words.
    fit = ("fit", "--images", "x.npy", "--texts", "x.npy", "--out")
    assert run(*fit, "n.safetensors", "--model", "open_clip:other").exit_code == 0
    words = (*data, "--model", "builtin", "--image-ids", "ids.txt", "--normalization")
    done = run(*words, "n.safetensors")
    assert done.exit_code == 1
    assert "one model" in done.stderr
    assert run(*fit, "own.safetensors", "--model", "builtin-1").exit_code == 0
    assert run(*words, "own.safetensors").exit_code == 0


def test_a_store_of_repeated_lines_is_no_list_of_captions(run, tmp_path):
    for module in ("onnxruntime", "PIL", "pyarrow"):
        pytest.importorskip(module)
    from distnorm import load_encoder

    lines = ["a red circle", "a blue square", "a red circle", "a green star"]
    (tmp_path / "lines.txt").write_text("\n".join(lines))
    assert run("embed", "lines.txt", "--model", "builtin", "--out", "store").exit_code == 0
    rows = load_encoder("builtin").encode_texts(lines[1:])
    np.save("x.npy", rows)
    np.savetxt("rows.txt", [0, 1, 2], fmt="%d")
    np.savetxt("human.txt", [1, 2, 3])
    two = ("--images", "x.npy", "--texts", "store")
    for words in (
        ("evaluate", "retrieval", *two),
        ("evaluate", "retrieval", *two, "--image-of-text", "rows.txt"),
        ("compare", "retrieval", *two),
        (
            "evaluate",
            "captions",
            "--images",
            "x.npy",
            "--captions",
            "store",
            "--human",
            "human.txt",
        ),
        ("compare", "captions", "--images", "x.npy", "--captions", "store", "--human", "human.txt"),
    ):
        done = run(*words)
        assert done.exit_code == 1, words
        assert "encode_texts" in done.stderr
    # What the refusal says gives a row per line.
    np.save("rows.npy", load_encoder("builtin").encode_texts(lines))
    np.save("y.npy", load_encoder("builtin").encode_texts([*lines[:2], *lines[3:], "a heart"]))
    assert run("evaluate", "retrieval", "--images", "y.npy", "--texts", "rows.npy").exit_code == 0
