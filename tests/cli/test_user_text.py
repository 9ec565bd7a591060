"""Names that hold markup or commands of the terminal: every command shows them as text."""

from __future__ import annotations

import json

import numpy as np
import pytest

import distnorm

HOSTILE = "[/b][red]m\x1b[31m\u202e"
SHOWN = r"[/b][red]m\x1b[31m\u202e"
NAME, NAME_SHOWN = HOSTILE[4:], SHOWN[4:]  # of a file, which holds no slash
PAIR = ("--images", "image.npy", "--texts", "text.npy")


@pytest.fixture
def fitted(run):
    """A normalization whose name, model and prompt are hostile."""
    name = f"{NAME}.safetensors"
    rows = np.load("image.npy"), np.load("text.npy")
    norm = distnorm.make("dn", model=HOSTILE, prompt=HOSTILE).fit(images=rows[0], texts=rows[1])
    norm.save(name)
    return name


def check(done, *, exit_code=0, shown=True):
    assert done.exit_code == exit_code, (done.exception, done.stderr)
    assert done.exception is None or isinstance(done.exception, SystemExit)
    for text in (done.stdout, done.stderr):
        assert "\x1b" not in text
        assert "\u202e" not in text
    if shown:
        assert NAME_SHOWN in done.stderr.replace("\n", "") + done.stdout
    return done


def test_fit_and_inspect(run, fitted):
    out = f"other {NAME}.safetensors"
    check(run("fit", *PAIR, "--model", HOSTILE, "--prompt", HOSTILE, "--out", out))
    check(run("inspect", fitted))
    assert distnorm.load(out).model == HOSTILE


def test_fit_of_sides_with_such_names(run):
    sides = f"{HOSTILE},[bold]"
    done = run("fit", *PAIR, "--sides", sides, "--method", "auto", "--explain", "--out", "n.st")
    check(done)


def test_evaluate_and_compare(run, fitted):
    check(run("evaluate", "retrieval", *PAIR, "--normalization", fitted))
    words = ("--prompt", HOSTILE, "--repeats", 2, "--methods", "dot,dn")
    check(run("compare", "retrieval", *PAIR, *words))


def test_evaluate_names_classes_that_share_a_name(run, labelled):
    (labelled / "names").write_text(f"{HOSTILE}\n{HOSTILE}\nc\nd\ne\nf\n", encoding="utf-8")
    data = ("--images", "x.npy", "--classes", "c.npy", "--labels", "l.npy")
    check(run("evaluate", "classification", *data, "--class-names", "names"))


def test_calibrate_card_diff_and_watch(run, fitted):
    check(run("calibrate", fitted, *PAIR))
    shown = run("card", fitted, "--describe", f"<script>alert(1)</script> a|b {HOSTILE}").stdout
    assert "<script" not in shown
    assert "\x1b" not in shown
    assert r"a\|b" in shown
    check(run("card", fitted, "--out", f"{NAME}.md"))
    check(run("diff", fitted, f"{NAME} is not there"), exit_code=2)
    check(run("watch", fitted, *PAIR, "--state", f"{NAME}.state"), shown=False)


def test_reports_escape_it(run, fitted):
    pytest.importorskip("jinja2", reason="the report extra is not installed")
    pytest.importorskip("matplotlib", reason="the report extra is not installed")
    check(run("calibrate", fitted, *PAIR, "--report", "page.html"), shown=False)
    done = run("fit", *PAIR, "--sides", f'"><script>{HOSTILE},y', "--method", "auto",
               "--report", "auto.html", "--out", "n.st")  # fmt: skip
    check(done, shown=False)
    for name in ("page.html", "auto.html"):
        with open(name, encoding="utf-8") as file:
            page = file.read()
        assert "<script" not in page
        assert "\x1b" not in page


def test_embed_and_search(run):
    for module in ("PIL", "pyarrow", "onnxruntime"):
        pytest.importorskip(module, reason="the embed extra is not installed")
    with open("texts.txt", "w", encoding="utf-8") as file:
        file.write(f"a red circle\n{HOSTILE} a blue square\n")
    store = f"store {NAME}"
    check(run("embed", "texts.txt", "--model", "builtin", "--out", store))
    check(run("search", store, HOSTILE, "--side", "text"))
    check(run("search", store, "[/b]", "--side", "text", "--both"))


def test_wrong_usage_and_missing_files(run):
    check(run("inspect", f"{NAME}.npy"), exit_code=1)
    check(run("fit", *PAIR, HOSTILE), exit_code=2)
    check(run("fit", *PAIR, f"--{HOSTILE}"), exit_code=2)
    check(run(HOSTILE), exit_code=2, shown=False)
    check(run("fit", *PAIR, "--method", HOSTILE, "--out", "n"), exit_code=1)
    check(run("search", f"faiss:{HOSTILE}", "x", "--model", "builtin"), exit_code=1, shown=False)
    check(run("index", "check", f"nothing:{HOSTILE}"), exit_code=1)


def test_json_keeps_the_text_itself(run, fitted):
    done = check(run("inspect", fitted, "--json", "-"))
    assert json.loads(done.stdout)["model"] == HOSTILE
