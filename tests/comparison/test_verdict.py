"""The verdict: a kind for each method, gains beyond noise, the next command."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

import distnorm
from distnorm.cli.main import cli
from distnorm.comparison import DEFAULT_METHODS, MethodResult, MetricSummary
from distnorm.comparison.verdict import judge, method_text
from distnorm.methods.registry import parse_method
from distnorm.report.verdict import verdict_lines, verdict_sentence

TEXT_TO_IMAGE, IMAGE_TO_TEXT = "image_retrieval_recall@1", "text_retrieval_recall@1"


def result(method, delta, width=0.01, other=0.0, **more):
    """A method with one change of text to image, and another of image to text."""
    metrics = {
        IMAGE_TO_TEXT: MetricSummary(0.5 + other, 0, other, (other - width, other + width)),
        TEXT_TO_IMAGE: MetricSummary(0.5 + delta, 0, delta, (delta - width, delta + width)),
        "image_retrieval_recall@5": MetricSummary(0.9, 0, 0.3, (0.29, 0.31)),
    }
    settings = {"strength": {"image": 0.5, "text": 0.5}, "params": {}, "n_fit": {}}
    return MethodResult(method, **{**settings, **more}, transductive=False, metrics=metrics)


DOT = result("dot", 0.0, strength={"image": 1.0, "text": 1.0})


def found(*results):
    return judge("retrieval", (DOT, *results), "i.npy", "t.npy")


def test_both_kinds_gain():
    verdict = found(result("dn", 0.02), result("ridge", 0.028), result("nnn", 0.05))
    assert (verdict.recommended, verdict.reason) == ("ridge@0.5", "gain")
    assert verdict_lines(verdict.to_dict()) == [
        "text → image R@1: no re-index: ridge@0.5 +2.8; with biases: nnn@0.5 +5.0",
        "image → text R@1: no re-index: dn@0.5 +0.0 within noise",
        "run: distnorm fit --images i.npy --texts t.npy --method ridge@0.5 --out ridge.safetensors",
        "run: distnorm export ridge.safetensors --format json",
        "run: distnorm fit --images i.npy --texts t.npy --method nnn@0.5 --out nnn.safetensors",
        "run: distnorm index bias SPEC --normalization nnn.safetensors",
    ]


def test_a_gain_on_rows_that_were_fitted_is_called_so():
    seen = replace(result("dn", 0.02), transductive=True)
    verdict = found(seen, result("nnn", 0.05)).to_dict()
    assert "no re-index: dn@0.5 +2.0 transductive; with biases: nnn" in verdict_lines(verdict)[0]
    assert "to +3.0, transductive: some evaluated rows were fitted): only" in verdict_sentence(
        verdict
    )
    assert "transductive" not in str(found(result("dn", 0.02)).to_dict())


def test_only_biases_gain():
    verdict = found(result("dn", 0.005), result("is", 0.03), result("qbnorm", 0.09))
    assert verdict.recommended == "is@0.5"
    assert [command.split()[1] for command in verdict.next] == ["fit", "index"]
    line = verdict_lines(verdict.to_dict())[0]
    assert "no re-index: dn@0.5 +0.5 within noise; with biases: is@0.5 +3.0; other: qb" in line


def test_a_gain_within_noise_and_none_at_all():
    noise = found(result("dn", 0.005), result("nnn", -0.05))
    assert (noise.recommended, noise.reason, noise.next) == ("dot", "noise", ())
    assert verdict_lines(noise.to_dict())[-1] == "keep the dot product: no gain is beyond noise"
    hurts = found(result("dn", -0.02, other=-0.02), result("nnn", -0.005, other=-0.03))
    assert (hurts.recommended, hurts.reason) == ("dot", "loss")
    lines = verdict_lines(hurts.to_dict())
    assert lines[0].endswith("no re-index: dn@0.5 -2.0 hurts")
    assert lines[-1] == "keep the dot product: no method is above it"


def test_the_other_direction_counts_where_the_search_gains_nothing():
    verdict = found(result("dn", -0.02, other=0.03), result("nnn", 0.0, other=0.05))
    assert (verdict.recommended, verdict.reason) == ("dn@0.5", "gain")
    # But text to image comes first, whatever serving it takes.
    verdict = found(result("dn", -0.02, other=0.03), result("nnn", 0.04))
    assert verdict.recommended == "nnn@0.5"


def chosen_by_auto(delta, method, **more):
    chosen = {side: {method: {"splits": 2, "strength": 0.4}} for side in ("image", "text")}
    return result("auto", delta, params={"chosen": chosen}, **more)


def test_biases_are_named_only_if_they_gain_more_than_the_shift_beyond_noise():
    little = found(result("ridge", 0.03), result("nnn", 0.035))
    assert (little.recommended, len(little.next)) == ("ridge@0.5", 2)
    assert verdict_lines(little.to_dict())[0] == "text → image R@1: no re-index: ridge@0.5 +3.0"
    # The wider interval counts, whosever it is.
    assert len(found(result("ridge", 0.03), result("nnn", 0.045)).next) == 4
    assert len(found(result("ridge", 0.03, width=0.02), result("nnn", 0.045)).next) == 2
    # A shift within noise is no rival.
    lone = found(result("dn", 0.009), result("nnn", 0.015))
    assert lone.recommended == "nnn@0.5"
    assert "with biases: nnn@0.5 +1.5" in verdict_lines(lone.to_dict())[0]


def test_auto_is_recommended_where_it_gains_most_by_what_it_takes():
    shift = found(result("ridge", 0.02), chosen_by_auto(0.03, "dn"), result("nnn", 0.025))
    assert shift.recommended == "auto"
    assert shift.next[-1] == "distnorm export auto.safetensors --format json"
    line = verdict_lines(shift.to_dict())[0]
    assert line.endswith("no re-index: ridge@0.5 +2.0; auto (chose dn) +3.0")
    # One that chose biases comes behind a shift, and is named for what it takes.
    biased = found(result("ridge", 0.02), chosen_by_auto(0.06, "nnn"), result("nnn", 0.05))
    assert biased.recommended == "ridge@0.5"
    assert biased.next[-1] == "distnorm index bias SPEC --normalization auto.safetensors"
    assert "--method auto " in biased.next[2]


def test_auto_says_what_it_chose():
    chosen = {
        "image": {"dot": {"splits": 2, "strength": 0.0}},
        "text": {"nnn": {"splits": 2, "strength": 0.4}},
    }
    auto = result("auto", 0.04, other=0.04, params={"chosen": chosen})
    verdict = found(auto)
    assert (verdict.recommended, verdict.next[0].split()[-3]) == ("auto", "auto")
    lines = verdict_lines(verdict.to_dict())
    assert lines[0] == "text → image R@1: auto (chose nnn) +4.0"
    assert lines[1] == "image → text R@1: auto (chose dot) +4.0"


def test_without_methods_or_intervals_there_is_no_verdict():
    assert judge("retrieval", (DOT,)) is None
    assert verdict_lines(None) == []
    bare = MethodResult("dn", {"image": 0.5, "text": 0.5}, {}, {}, False,
                        {TEXT_TO_IMAGE: MetricSummary(0.5, 0, 0.1, None)})  # fmt: skip
    base = MethodResult("dot", DOT.strength, {}, {}, False, bare.metrics)
    assert judge("retrieval", (base, bare)) is None


@pytest.mark.parametrize(
    "text",
    [
        "dn@0.5",
        "nnn@0.3:k=4",
        "dn2@0.5:rank=3",
        "auto",
        "dn*@0.25",
        "is@0.5:weights=density",
        "nnn@0.5:k=4,weights=density",
        "auto:weights=even",
    ],
)
def test_a_method_is_named_as_fit_takes_it(text):
    norm = distnorm.comparison.protocol.method_norms([text])[1]
    named = method_text(
        result(norm.method, 0.1, strength=norm.strength, params=norm.state.settings)
    )
    assert parse_method(named) == parse_method(text)


def test_the_default_methods_have_one_of_each_kind(gap_pair):
    assert {"ridge", "auto"} < set(DEFAULT_METHODS)
    compared = distnorm.compare_retrieval(*gap_pair, repeats=2, diagnostics=False)
    assert [r.method for r in compared.results] == list(DEFAULT_METHODS)
    kinds = {c.kind for c in compared.verdict().metrics[TEXT_TO_IMAGE]}
    assert kinds == {"no re-index", "with biases", "auto"}
    assert compared.to_dict()["verdict"]["recommended"] == compared.verdict().recommended


def test_the_command_ends_with_it_and_the_first_command_runs(tmp_path, monkeypatch, gap_pair):
    pytest.importorskip("jinja2", reason="pages")
    pytest.importorskip("matplotlib", reason="pages")
    monkeypatch.chdir(tmp_path)
    for name, rows in zip(("my image.npy", "text.npy"), gap_pair, strict=True):
        np.save(name, rows.astype(np.float32))
    words = ["compare", "retrieval", "--images", "my image.npy", "--texts", "text.npy"]
    words += ["--methods", "dn@1,nnn", "--repeats", "2", "--json", "-", "--report", "r.html"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    verdict = json.loads(done.stdout)["verdict"]
    lines, said = verdict_lines(verdict), done.stderr.splitlines()
    assert said[-len(lines) - 2 : -1].count(verdict_sentence(verdict)) == 1
    said.remove(verdict_sentence(verdict))
    assert said[-len(lines) - 1 : -1] == lines
    page = (tmp_path / "r.html").read_text("utf-8")
    assert f'<p class="lead">{verdict_sentence(verdict)}</p>' in page
    assert page.index("What each kind of method gains</h2>") > page.index("</table>")
    assert verdict["reason"] == "gain"
    program, *again = shlex.split(verdict["next"][0])
    assert program == "distnorm"
    fitted = CliRunner().invoke(cli, again)
    assert fitted.exit_code == 0, fitted.output
    assert distnorm.load(again[-1]).method == verdict["recommended"].partition("@")[0]


def test_other_tasks_name_their_metric(rng):
    classes = distnorm.normalize(rng.normal(0.3, 1, (6, 12)))
    labels = rng.integers(0, 6, 90)
    images = distnorm.normalize(classes[labels] + rng.normal(0, 0.4, (90, 12)))
    compared = distnorm.compare_classification(images, classes, labels, repeats=2)
    assert list(compared.verdict().metrics) == ["acc1"]
    assert all("export" not in c and "SPEC" not in c for c in compared.verdict().next)
