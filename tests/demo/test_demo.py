"""The demo end to end, small, and its page in a real browser where there is one."""

from __future__ import annotations

import errno
import json
import re

import pytest
from browser import WIDTHS, cut, opened
from click.testing import CliRunner

from distnorm.cli.main import cli
from distnorm.demo.page import whole_percents

for package in ("onnxruntime", "PIL", "jinja2", "matplotlib"):
    pytest.importorskip(package, reason="the demo needs the extra 'demo'")

METHODS = ["dot", "dn*", "dn", "dn2", "is", "nnn"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "out"
    command = ["demo", "--size", "60", "--seed", "3", "--out", str(folder), "--json", "-"]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 0, result.output
    return folder, json.loads(result.stdout), result.stderr


def test_every_task_and_method_has_its_numbers(made):
    folder, found, _ = made
    assert json.loads((folder / "results.json").read_text())["retrieval"] == found["retrieval"]
    assert (found["world"], found["size"], found["seed"]) == ("faded", 60, 3)
    for task in ("retrieval", "retrieval_tta", "classification", "classification_tta", "captions"):
        entries = found[task]["results"]
        assert [entry["method"] for entry in entries] == METHODS
        assert all(entry["n_fit"]["image"] == 100 for entry in entries[1:])
        assert not any(entry["transductive"] for entry in entries)
    assert found["captions"]["results"][0]["metrics"]["kendall_tau_c"]["mean"] > 0.3
    assert set(found["worlds"]) >= {"matched", "night", "red", "faded"}


def test_the_terminal_gets_one_screen(made):
    _, _, seen = made
    assert "faded world, 60 pictures, seed 3" in seen
    assert len(seen.splitlines()) <= 24


def test_the_page_holds_every_table_and_loads_nothing(made):
    page = (made[0] / "report.html").read_text()
    for title in (
        "Retrieval",
        "Every world",
        "Zero-shot classification",
        "Caption scoring",
        "Test-time augmentation",
        "The modality gap",
        "Hubs",
        "Pictures that come up for everything",
        "Queries, side by side",
        "How many samples",
        "Zeroth, first, second order",
    ):
        assert f">{title}" in page, title
    assert page.count("<svg") == page.count("</svg>") >= 8
    outside = [u for u in re.findall(r'(?:src|href)="([^"#][^"]*)"', page) if "data:" not in u]
    assert not outside
    assert "http://" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_of_the_page_is_cut_at_any_width(made, browser, width):
    page, said = opened(browser, (made[0] / "report.html").as_uri(), width)
    assert cut(page) == []
    assert said == []
    page.close()


def test_pictures_come_before_tables(made):
    page = (made[0] / "report.html").read_text()
    assert page.index("Queries, side by side") < page.index("largest hubs") < page.index("<table")


def test_shares_of_queries_add_up_to_a_hundred(made):
    page = (made[0] / "report.html").read_text()
    told = re.search(r"by their first five pictures: (.*?)\.</p>", page)
    assert told is not None
    assert sum(map(int, re.findall(r"(\d+) %", told.group(1)))) == 100
    assert whole_percents([1 / 3, 1 / 3, 1 / 3]) == [34, 33, 33]
    assert whole_percents([0.125, 0.1, 0.725, 0.05]) == [13, 10, 72, 5]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--world", "nihgt"], "did you mean 'night'"),
        (["--size", "0"], "size = 0"),
        (["--size", "-5"], "size = -5"),
        (["--seed", "-1"], "seed = -1"),
    ],
)
def test_bad_input_is_one_line(tmp_path, arguments, part):
    out = tmp_path / "out"
    result = CliRunner().invoke(cli, ["demo", "--out", str(out), *arguments])
    assert result.exit_code == 1
    assert part in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not out.exists()


def test_an_existing_folder_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    result = CliRunner().invoke(cli, ["demo", "--size", "20", "--out", str(tmp_path)])
    assert result.exit_code == 1
    assert "which exists" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_without_onnxruntime_the_pip_line_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    result = CliRunner().invoke(cli, ["demo", "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "pip install 'distnorm[demo]'" in result.stderr


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    from distnorm.cli import demo

    def full(self, *_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(demo.Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        demo._write(tmp_path / "out", {"report.html": "x"})
    assert not list(tmp_path.iterdir())
