"""A page holds all it shows, and what users wrote stays text."""

from __future__ import annotations

import re

import pytest
from browser import cut, opened

from distnorm.report.html.figures import intervals
from distnorm.report.html.page import (
    Cell,
    Example,
    Figure,
    Picture,
    Section,
    Table,
    render,
    stylesheet,
    write_page,
)
from distnorm.report.html.sections import ladder_section, protocol_line
from distnorm.report.verdict import verdict_sentence

pytest.importorskip("jinja2", reason="the report extra is not installed")

HOSTILE = "<script>alert('a & b')</script>"


def page() -> str:
    table = Table(["method", HOSTILE], [["dn", Cell("+2.1", "better")], [HOSTILE, "0"]], HOSTILE)
    example = Example(
        HOSTILE, [("dot", [Picture("data:image/png;base64,AA==", HOSTILE, hit=True)])]
    )
    return render(
        HOSTILE, HOSTILE, [Section("Methods", HOSTILE, [table], (), [example])], [HOSTILE]
    )


def test_what_users_wrote_is_escaped_everywhere():
    assert "<script>alert" not in page()
    assert page().count("&lt;script&gt;") >= 7


def test_a_page_asks_for_nothing_from_outside():
    sources = re.findall(r"""(?:src|href)=["']([^"']+)""", page())
    assert sources
    assert [source for source in sources if not source.startswith(("data:", "#"))] == []
    assert "url(http" not in page()


def test_cells_say_what_they_are():
    assert re.search(r"""class=["'][^"']*better[^"']*["'][^>]*>\s*\+2\.1""", page())


def test_a_page_is_written_whole(tmp_path):
    write_page(tmp_path / "page.html", page())
    assert (tmp_path / "page.html").read_text("utf-8") == page()
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_a_hit_is_told_from_its_place_by_more_than_colour():
    words = re.sub(r"<[^>]+>", "", page())
    assert "alert(&#39;a &amp; b&#39;)&lt;/script&gt; ✓ right" in words


def test_pictures_come_before_tables_and_tables_before_plots():
    made = render(
        "t",
        "l",
        [
            Section(
                "s",
                tables=[Table(["a"], [["1"]])],
                figures=[Figure("<svg></svg>")],
                examples=[Example("q", [("dot", [Cell("x")])])],
            )
        ],
    )
    assert made.index('class="example') < made.index("<table") < made.index("<svg")


def test_plots_have_no_styles_of_their_own():
    pytest.importorskip("matplotlib", reason="the report extra is not installed")
    svg = intervals({"R@1": [("dn", -1.0, 1.0, 2.0)]}, x_label="points", label="change")
    assert "style=" not in svg
    assert "var(--grid)" in svg
    assert 'stroke-width="' in svg


def luminance(color: str) -> float:
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_words_stand_out_from_every_ground(scheme):
    rules = re.findall(r":root \{(.*?)\}", stylesheet(), flags=re.DOTALL)
    colors = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", rules[scheme]))
    for ground in ("paper", "shade", "raised"):
        for ink in ("ink", "faint", "accent", "better", "worse", "mark"):
            assert contrast(colors[ink], colors[ground]) >= 4.5, (ink, ground)
    for ink, ground in (
        ("on-accent", "accent"),
        ("ink", "wash"),
        ("mark", "mark-wash"),
        ("worse", "alarm-wash"),
    ):
        assert contrast(colors[ink], colors[ground]) >= 4.5, (ink, ground)


@pytest.mark.parametrize("width", [320, 400, 700, 1200])
def test_a_wide_table_is_not_cut(tmp_path, browser, width):
    columns = ["method", *(f"column {number}" for number in range(7))]
    rows = [["dn", *[Cell("+10.5", "better", "[+8.1, +12.9]")] * 7]]
    file = tmp_path / "page.html"
    write_page(file, render("t", "l", [Section("s", tables=[Table(columns, rows, "wide")])]))
    seen, said = opened(browser, file.as_uri(), width)
    assert cut(seen) == []
    assert said == []
    assert seen.get_by_role("row").count() == 2
    assert seen.get_by_role("cell").count() == 7
    seen.close()


@pytest.mark.parametrize(
    ("prompt", "said"),
    [(None, "no prefix stated"), ("", "no prefix ("), ("a photo of ", "'a photo of '")],
)
def test_the_prefix_is_explained(prompt, said):
    protocol = {"statistics": "held-out", "repeats": 2, "seed": 0, "prompt": prompt}
    line = protocol_line({"protocol": protocol, "results": [{"n_fit": {"image": 5}}]})
    assert said in line
    assert "before every text" in line


def test_an_order_that_is_worse_than_none_says_so():
    rungs = [{"inverse_temperature": 100.0, "explained_variance": v} for v in (0.0, 0.5, -40.73)]
    [row] = ladder_section({"ladder": {"image_bias": rungs}}).tables[0].rows
    assert row[2:] == [Cell("0.00"), Cell("0.50"), Cell("-40.7", "worse", "worse than none")]


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("gain", "top-1 accuracy rises by 2.0 points with dn@0.5 (95 % interval +1.0 to +3.0)"),
        ("noise", "Keep the dot product: no gain is beyond noise."),
        ("loss", "Keep the dot product: no method is above it."),
    ],
)
def test_the_verdict_is_one_sentence(reason, said):
    entry = {"method": "dn@0.5", "kind": "no re-index", "delta": 0.02, "ci95": [0.01, 0.03]}
    verdict = {
        "reason": reason,
        "recommended": "dn@0.5" if reason == "gain" else "dot",
        "metrics": {"acc1": [{**entry, "outcome": "gain"}]},
    }
    assert verdict_sentence(verdict).startswith(said)
    assert verdict_sentence(verdict).count(". ") == 0
    assert verdict_sentence(None) == ""
