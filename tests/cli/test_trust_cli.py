"""calibrate, card, diff, watch and thresholds as users type them."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import distnorm
from distnorm.cli.main import cli
from distnorm.normalization.notes import Notes


@pytest.fixture
def run(tmp_path, monkeypatch, gap_pair):
    """Runs a command beside a.npy, b.npy (fitted), c.npy, d.npy (others) and n.safetensors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    images, texts = (x.astype(np.float32) for x in gap_pair)
    np.save("a.npy", images[:80])
    np.save("b.npy", texts[:80])
    np.save("c.npy", images[80:])
    np.save("d.npy", texts[80:])
    norm = distnorm.make("dn", model="m").fit(images=images[:80], texts=texts[:80])
    norm.save("n.safetensors")
    runner = CliRunner()

    def invoke(*words, **options):
        return runner.invoke(cli, [str(word) for word in words], **options)

    return invoke


FILE = "n.safetensors"
REST = ("--images", "c.npy", "--texts", "d.npy")


def test_calibrate_keeps_thresholds_in_the_file(run):
    done = run("calibrate", FILE, *REST, "--json", "-")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["calibration"]["pairs"] == "rows"
    assert found["probability"] is None
    assert "too small a sample to know" in done.stderr
    norm = distnorm.load(FILE)
    assert norm.threshold(0.01).reliable
    other = run("calibrate", FILE, *REST, "--pairs", "none", "--out", "o.safetensors")
    assert other.exit_code == 0
    assert distnorm.load("o.safetensors").threshold(0.001) != norm.threshold(0.001)


def test_calibrate_probability_and_report(run):
    pytest.importorskip("sklearn", reason="P(match) takes scikit-learn")
    pytest.importorskip("matplotlib", reason="the page takes the extra 'report'")
    done = run(
        "calibrate", FILE, *REST, "--matches", "--prior", "0.2", "--report", "r.html", "--json", "-"
    )
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["probability"]["prior"] == 0.2
    page = Path("r.html").read_text()
    for words in ("Reliability diagram", "False-alarm rate by threshold", "too small a sample"):
        assert words in page
    np.savetxt("rows.txt", np.arange(120), fmt="%d")
    np.savetxt("labels.txt", np.arange(120) % 2, fmt="%d")
    done = run("calibrate", FILE, *REST, "--pairs", "rows.txt", "--labels", "labels.txt")
    assert done.exit_code == 0, done.stderr
    assert distnorm.load(FILE).notes.probability["n_matches"] == 60


def test_pairs_of_a_wrong_label_count_as_non_matches(run):
    pytest.importorskip("sklearn", reason="P(match) takes scikit-learn")
    np.savetxt("rows.txt", np.arange(120), fmt="%d")
    np.savetxt("labels.txt", np.arange(120) % 2, fmt="%d")
    counts = {}
    for words in (
        (),
        ("--pairs", "rows"),
        ("--labels", "labels.txt"),
        ("--pairs", "rows", "--labels", "labels.txt"),
        ("--pairs", "rows.txt", "--labels", "labels.txt"),
    ):
        done = run("calibrate", FILE, *REST, *words, "--out", "o.safetensors", "--json", "-")
        assert done.exit_code == 0, done.output
        counts[words] = json.loads(done.stdout)["calibration"]["n_pairs"]
    assert set(counts.values()) == {120 * 119, 120 * 120 - 60}
    assert [n for words, n in counts.items() if "--labels" in words] == [120 * 120 - 60] * 3
    for words in (("--labels", "labels.txt"), ("--matches", "--prior", "0.1")):
        done = run("calibrate", FILE, *REST, "--pairs", "none", *words)
        assert done.exit_code == 2
        assert "nothing matches" in done.stderr


def test_evaluate_at_a_threshold(run):
    run("calibrate", FILE, *REST)
    words = ("evaluate", "retrieval", *REST, "--normalization", FILE, "--json", "-")
    done = run(*words, "--false-alarm-rate", "0.01")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    at = found["at_threshold"]
    assert at["metrics"]["false_alarm_rate"] == pytest.approx(0.01, abs=0.002)
    assert at["score"]["label"] == "dn two-sided score"
    assert at["expected_false_alarm_rate"]["value"] == pytest.approx(0.01)
    assert found["score"]["text"]["label"] == "dn ranking score"
    # By hand: the full matrix.
    norm = distnorm.load(FILE)
    scores = norm.similarity(np.load("c.npy"), np.load("d.npy"))
    above = scores > at["threshold"]
    assert at["metrics"]["recall"] == pytest.approx(np.diagonal(above).mean())
    false = above[~np.eye(120, dtype=bool)].mean()
    assert at["metrics"]["false_alarm_rate"] == pytest.approx(false)
    given = json.loads(run(*words, "--threshold", "9").stdout)["at_threshold"]["metrics"]
    assert (given["recall"], given["precision"]) == (0, None)
    wrong = run(*words, "--threshold", "9", "--false-alarm-rate", "0.1")
    assert wrong.exit_code == 1
    assert "one of them" in wrong.stderr


def test_card_for_people_and_machines(run):
    plain = run("card", FILE)
    assert plain.exit_code == 0, plain.stderr
    assert plain.stdout.startswith(f"# {FILE}\n")
    assert "Not calibrated" in plain.stdout
    assert "Only 80 image rows" in plain.stdout
    run("calibrate", FILE, *REST)
    done = run("card", FILE, *REST, "--describe", "Holiday photos.", "--keep", "--beside")
    assert done.exit_code == 0, done.stderr
    text = Path(f"{FILE}.card.md").read_text()
    for words in ("| data | Holiday photos. |", "## Hubs", "| 0.001 |", "dn two-sided score"):
        assert words in text
    found = json.loads(Path(f"{FILE}.card.json").read_text())
    assert (
        found["hubs"]["text"]["after"]["occupancy"] > found["hubs"]["text"]["before"]["occupancy"]
    )
    # Kept: the next card needs no rows, and its checksum is the file's.
    again = json.loads(run("card", FILE, "--json", "-").stdout)
    assert again["data"] == "Holiday photos."
    assert again["hubs"] == found["hubs"]
    assert again["checksum"] == json.loads(run("inspect", FILE, "--json", "-").stdout)["checksum"]
    assert run("card", FILE, "--out", "card.md").stdout == ""
    assert Path("card.md").read_text().count("\n## ") == 5
    assert run("card", FILE, "--images", "c.npy").exit_code == 2


def test_a_card_tells_of_a_choice_and_probabilities(run):
    norm = distnorm.load(FILE)
    choice = {
        "method": "is", "strength": 0.5, "why": "It won.", "evidence": "planted", "samples": 9,
        "gallery": 9, "candidates": [],
    }  # fmt: skip
    selection = {
        "rule": "r",
        "seed": 0,
        "warnings": [],
        "sides": {"image": {**choice, "method": "dot"}, "text": choice},
    }
    probability = {
        "score": {"method": norm.method, "strength": norm.strength}, "params": norm.params,
        "curve": {"slope": 1.0, "intercept": 0.0}, "method": "platt", "prior": 0.1,
        "n_matches": 9, "n_non_matches": 90, "expected_calibration_error": 0.02,
    }  # fmt: skip
    norm.notes = Notes(selection=selection, probability=probability)
    norm.save(FILE)
    text = run("card", FILE).stdout
    assert "- text: `is` at 0.5. It won." in text
    assert "P(match) by platt regression on 9 matches and 90 non-matches, prior 0.1" in text
    norm.notes = Notes(selection={"summary": "dn everywhere"})
    norm.save(FILE)
    assert "- dn everywhere" in run("card", FILE).stdout


def test_diff_exits_like_diff(run, gap_pair):
    run("fit", *REST, "--model", "m", "--out", "o.safetensors")
    same = run("diff", FILE, "o.safetensors", "--json", "-")
    assert same.exit_code == 0, same.stderr
    assert json.loads(same.stdout)["interchangeable"]
    shifted = distnorm.normalize(np.load("c.npy") + 0.3 * np.eye(32)[0].astype(np.float32))
    np.save("e.npy", shifted)
    run("fit", "--images", "e.npy", "--texts", "d.npy", "--model", "m", "--out", "p.safetensors")
    other = run("diff", FILE, "p.safetensors", "--json", "-")
    assert other.exit_code == 1
    assert "image means" in json.loads(other.stdout)["why"]
    probed = run("diff", FILE, "p.safetensors", *REST, "--tolerance", "1", "--json", "-")
    assert probed.exit_code == 0
    assert json.loads(probed.stdout)["ranking"]["image"]["queries"] == 120
    trouble = run("diff", FILE, "none.safetensors")
    assert trouble.exit_code == 2
    assert trouble.stderr.startswith("distnorm: got no file")
    assert run("diff", FILE, FILE, "--images", "c.npy").exit_code == 2


def test_watch_goes_on_alarms_and_refreshes(run):
    state = ("--state", "s.safetensors")
    quiet = run("watch", FILE, "--images", "c.npy", *state, "--exit-code", "--json", "-")
    assert quiet.exit_code == 0, quiet.stderr
    assert json.loads(quiet.stdout)["rows"] == {"image": 120, "text": 0}
    shifted = distnorm.normalize(np.load("c.npy") + 0.8 * np.eye(32)[0].astype(np.float32))
    np.save("e.npy", np.repeat(shifted, 3, axis=0))
    loud = run(
        "watch", FILE, "--images", "e.npy", *state, "--exit-code", "--refresh", "f.safetensors",
        "--json", "-",
    )  # fmt: skip
    assert loud.exit_code == 3, loud.stderr
    found = json.loads(loud.stdout)
    assert found["alarm"]["rows"] > 120
    assert "no longer fit" in loud.stderr
    fresh = distnorm.load("f.safetensors")
    assert fresh.counts == {"image": 40 + 480, "text": 40}
    assert run("watch", FILE, "--images", "c.npy", *state, "--window", "9").exit_code == 2
    again = run("watch", FILE, "--images", "c.npy", "--refresh", "f.safetensors")
    assert "pass --overwrite" in again.stderr
    assert run("watch", FILE).exit_code == 2


def test_watch_reads_batches_from_a_pipe(run, project):
    batches = io.BytesIO()
    for part in np.array_split(np.load("c.npy"), 4):
        np.save(batches, part)
    command = [sys.executable, "-c", "from distnorm.cli.main import main; main()"]
    command += ["watch", FILE, "--stdin", "image", "--json", "-"]
    environment = {**os.environ, "PYTHONPATH": str(project / "src")}
    done = subprocess.run(
        command, input=batches.getvalue(), capture_output=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"]["image"] == 120
    cut = run("watch", FILE, "--stdin", "image", input=batches.getvalue()[:-5])
    assert cut.exit_code == 1
    assert "batch 3 on standard input" in cut.stderr


def test_swapped_files_are_told(run):
    done = run("calibrate", FILE, "--images", "d.npy", "--texts", "c.npy")
    assert done.exit_code == 1
    assert "images that look like texts" in done.stderr


def test_classification_says_how_many_it_accepts(run):
    run("calibrate", FILE, *REST)
    np.save("labels.npy", np.arange(30))
    np.save("images.npy", np.load("c.npy")[:30])
    np.save("classes.npy", np.load("d.npy")[:30])
    words = ("evaluate", "classification", "--images", "images.npy", "--classes", "classes.npy")
    words += ("--labels", "labels.npy", "--normalization", FILE, "--json", "-")
    assert "at_threshold" not in json.loads(run(*words).stdout)
    done = run(*words, "--false-alarm-rate", "0.3")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    at = found["at_threshold"]
    # One class of 30 gets a thirtieth of the rate.
    assert at["expected_false_alarm_rate"]["value"] == pytest.approx(0.01)
    assert at["threshold"] == pytest.approx(float(distnorm.load(FILE).threshold(0.01)))
    assert 0 < at["accepted"] <= 1
    assert found["score"]["label"] == "dn ranking score"
    assert "accepted above dn two-sided score" in done.stderr
    missing = run(*words[:-4], "--json", "-", "--false-alarm-rate", "0.3")
    assert missing.exit_code == 1
    assert "without calibration" in missing.stderr


def test_search_leaves_out_what_does_not_fit(run, tmp_path):
    pytest.importorskip("onnxruntime", reason="searching takes the built-in model")
    pytest.importorskip("pyarrow", reason="a store's names are parquet")
    from distnorm.encoders import load_encoder
    from distnorm.scenes import generate, save_scenes

    scenes = generate(60, world="matched", seed=3)
    save_scenes(tmp_path / "scenes", 20, world="matched", seed=3)
    done = run("embed", "scenes", "--model", "builtin", "--out", "store")
    assert done.exit_code == 0, done.stderr
    encoder = load_encoder("builtin")
    images = encoder.encode_images([scene.image() for scene in scenes[20:]])
    texts = encoder.encode_texts([scene.captions(1)[0] for scene in scenes[20:]])
    norm = distnorm.make("dn", model=encoder.model_id).fit(images=images[:15], texts=texts[:15])
    norm.save("plain.safetensors")
    norm.calibrate(images=images[15:], texts=texts[15:]).save("calibrated.safetensors")
    query = ("search", "store", scenes[4].captions(1)[0], "--k", "20", "--json", "-")
    plain = json.loads(run(*query).stdout)
    assert (plain["score"], len(plain["results"])) == ("cosine", 20)
    found = json.loads(run(*query, "--normalization", "calibrated.safetensors").stdout)
    assert found["score"] == "dn ranking score"
    rates = [entry["false_alarm_rate"] for entry in found["results"]]
    assert rates == sorted(rates)
    done = run(*query, "--normalization", "calibrated.safetensors", "--false-alarm-rate", "0.1")
    kept = json.loads(done.stdout)
    assert 0 < len(kept["results"]) < 20
    assert len(kept["results"]) + kept["rejected"] == 20
    assert all(entry["false_alarm_rate"] < 0.1 for entry in kept["results"])
    assert f"{kept['rejected']} below dn two-sided score" in " ".join(done.stderr.split())
    none = run(*query, "--normalization", "calibrated.safetensors", "--threshold", "9")
    assert json.loads(none.stdout)["nothing_fits"]
    assert "nothing fits" in " ".join(none.stderr.split())
    without = run(*query, "--normalization", "plain.safetensors", "--false-alarm-rate", "0.1")
    assert without.exit_code == 1
    assert "distnorm calibrate" in without.stderr
    assert len(json.loads(run(*query, "--threshold", "0.2").stdout)["results"]) < 20
