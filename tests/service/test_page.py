"""The pages in a real browser: type, click, keys, drop a picture; and what they hold as HTML."""

from __future__ import annotations

import html
import json
import re

import numpy as np
import pytest

for package in ("starlette", "uvicorn", "jinja2", "onnxruntime", "PIL"):
    pytest.importorskip(package, reason="the demo needs the extras 'demo' and 'serve'")

from browser import WIDTHS, cut, opened, until
from serving import served

import distnorm
from distnorm.demo.collection import draw_collection
from distnorm.report.html.page import Figure, Report, Section, Table
from distnorm.service.app import Service
from distnorm.service.guard import Access
from distnorm.service.limits import Refusal
from distnorm.service.log_hubs import HubCounts
from distnorm.service.opening import Opening, open_engine
from distnorm.service.shown import LoggedQueries, Shown, open_shown
from distnorm.service.store_items import Shelf
from distnorm.store.catalog import Catalog

HOSTILE = '<img src=x onerror="document.title=1"> & a \u202e star'
QUERY = "a yellow star at sunset"


def report() -> Report:
    figure = Figure('<svg viewBox="0 0 9 9"><path d="M0 0L9 9" stroke="var(--grid)"/></svg>')
    tables = [Table(["method", HOSTILE], [["dn", "+2.1"]])]
    return Report("A comparison", HOSTILE, [Section("Retrieval", tables=tables, figures=[figure])])


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return draw_collection(tmp_path_factory.mktemp("drawn"), size=150)


@pytest.fixture(scope="module")
def engine(drawn):
    captions = [HOSTILE if row == 0 else words for row, words in enumerate(drawn.captions)]
    shelf = Shelf("drawn & served", drawn.rows, Catalog.of(drawn.names), captions)
    opening = Opening(
        "demo", side="image", model="builtin", pictures=drawn.pictures, false_alarm_rate=0.02
    )
    return open_engine(opening, shelf, drawn.norms)


@pytest.fixture(scope="module")
def queries(drawn):
    words = [*drawn.log[:79], HOSTILE]
    return LoggedQueries(drawn.encoder.encode_texts(words), words, "a log")


@pytest.fixture(scope="module")
def client(engine, queries):
    with served(Service(engine, shown=Shown(queries, report))) as client:
        yield client


@pytest.fixture
def page(client, browser):
    page, said = opened(browser, f"http://127.0.0.1:{client.port}/")
    yield page
    assert said == []
    page.close()


def search(page, words=QUERY):
    page.fill("#query", words)
    page.keyboard.press("Enter")
    page.wait_for_selector("#lists .card")


def titles(page):
    return page.locator("#lists h2").all_text_contents()


def ids(page, place):
    column = page.locator("#lists section").nth(place)
    return column.locator(".card").evaluate_all("cards => cards.map(card => card.dataset.id)")


def listed(client, **asked):
    return client.post("/search", {"query": QUERY, "k": 12, **asked})[1]["lists"]


def order(found):
    return [str(result["id"]) for result in found["results"]]


def test_two_columns_hold_what_the_service_answers(page, client):
    search(page)
    dot, normalized = listed(client)
    assert (ids(page, 0), ids(page, 1)) == (order(dot), order(normalized))
    assert titles(page) == ["dot product", "dn, strength 0.5"]
    changes = page.locator("#lists section").nth(1).locator(".change").all_text_contents()
    assert changes == [result["change"] for result in normalized["results"]]
    first = page.locator("#lists section").nth(1).locator(".card").first
    assert f"{normalized['results'][0]['score']:.3f}" in first.text_content()
    assert "alarm" in first.text_content()


def test_a_line_stands_where_nothing_below_matches(page, client, drawn):
    search(page, drawn.captions[7])
    normalized = listed(client, query=drawn.captions[7])[1]["results"]
    above = sum(not result["below"] for result in normalized)
    assert 0 < above < len(normalized)
    rows = page.locator("#lists section").nth(1).locator(".cards > li")
    assert rows.nth(above).text_content() == "below this: none of these"
    assert page.locator(".threshold").count() == 1


def test_the_slider_ranks_again_at_once(page, client):
    search(page)
    page.focus("#strength")
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    until(page, lambda: titles(page)[1] == "dn, strength 0.8")
    assert ids(page, 1) == order(listed(client, strength=0.8)[1])
    assert page.text_content("#strength-value") == "0.8"
    assert "strength=0.8" in page.url


def test_method_and_a_third_column_can_be_chosen(page, client):
    search(page)
    page.select_option("#method", "is")
    page.select_option("#also", "dn")
    until(page, lambda: len(titles(page)) == 3)
    found = listed(client, method="is", also={"method": "dn"})
    assert [ids(page, at) for at in range(3)] == [order(each) for each in found]
    page.select_option("#method", "dot")
    until(page, lambda: len(titles(page)) == 2)
    assert page.is_disabled("#strength")


def test_a_link_keeps_query_and_settings(page, browser):
    search(page)
    page.select_option("#also", "is")
    page.select_option("#k", "6")
    until(page, lambda: len(titles(page)) == 3)
    page.keyboard.press("Escape")
    page.click("#swap")
    page.click("#difference")
    seen = [ids(page, at) for at in range(3)]
    again, said = opened(browser, page.url)
    again.wait_for_selector("#lists .card")
    assert [ids(again, at) for at in range(3)] == seen
    assert again.input_value("#query") == QUERY
    for button in ("#swap", "#difference"):
        assert again.get_attribute(button, "aria-pressed") == "true"
    assert said == []
    again.close()


def test_a_link_with_nonsense_falls_back(client, browser):
    url = f"http://127.0.0.1:{client.port}/?q=star&method=no&strength=x&also=%3Cb%3E&k=7"
    page, said = opened(browser, url)
    page.wait_for_selector("#lists .card")
    assert page.input_value("#method") == "dn"
    assert page.input_value("#strength") == "0.5"
    assert titles(page) == ["dot product", "dn, strength 0.5"]
    assert said == []
    page.close()


def test_keys(page):
    search(page)
    page.keyboard.press("Escape")
    assert page.input_value("#query") == QUERY
    dot, normalized = ids(page, 0), ids(page, 1)
    page.keyboard.press("s")
    assert (ids(page, 0), ids(page, 1)) == (normalized, dot)
    page.keyboard.press("s")
    assert ids(page, 0) == dot
    page.keyboard.press("d")
    assert page.locator("#lists.difference").count() == 1
    page.keyboard.press("d")
    focused = "document.activeElement.dataset.id"
    page.keyboard.press("ArrowDown")
    assert page.evaluate(focused) == dot[0]
    page.keyboard.press("ArrowRight")
    assert page.evaluate(focused) == dot[1]
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowDown")
    assert page.evaluate(focused) in dot[2:]
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "query"
    page.keyboard.type("sd/")
    assert page.locator("#lists.difference").count() == 0


def test_the_same_picture_is_marked_in_every_column(page):
    search(page)
    common = next(item for item in ids(page, 0) if item in ids(page, 1))
    page.locator(f'#lists section:first-child .card[data-id="{common}"]').hover()
    marked = page.locator(".card.linked")
    assert marked.count() == 2
    assert set(marked.evaluate_all("cards => cards.map(card => card.dataset.id)")) == {common}


def test_a_picture_is_dropped(page, drawn, client):
    from base64 import b64encode

    content = b64encode((drawn.pictures / drawn.names[3]).read_bytes()).decode()
    page.evaluate(
        """content => {
            const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
            const carried = new DataTransfer();
            carried.items.add(new File([bytes], "p.png", { type: "image/png" }));
            for (const type of ["dragover", "drop"]) {
                const about = { bubbles: true, cancelable: true, dataTransfer: carried };
                document.body.dispatchEvent(new DragEvent(type, about));
            }
        }""",
        content,
    )  # fmt: skip
    page.wait_for_selector("#lists .card")
    assert page.is_visible("#preview")
    assert page.is_hidden("#drop")
    assert ids(page, 0)[0] == "3"
    assert "dot product" in page.text_content("#status")
    search(page, "a red circle")
    until(page, lambda: len(titles(page)) == 2)
    assert page.is_hidden("#preview")


def test_what_is_no_picture_is_said(client, browser):
    page, _ = opened(browser, f"http://127.0.0.1:{client.port}/")
    page.set_input_files("#file", {"name": "a.txt", "mimeType": "text/plain", "buffer": b"x"})
    assert page.text_content("#refusal") == "a.txt is no picture."
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"x" * 9})
    until(page, lambda: "format" in page.text_content("#refusal"))
    page.close()


def test_words_of_users_stay_words(page, client):
    search(page, HOSTILE)
    assert page.title() == "drawn & served: distnorm"
    assert page.locator('img[src="x"]').count() == 0
    page.goto(f"http://127.0.0.1:{client.port}/compare")
    assert page.text_content(".lead").startswith("<img src=x")
    assert page.title() == "Compare: distnorm"


def test_proposed_queries_can_be_clicked(page):
    button = page.locator(".example-query").first
    words = button.text_content()
    button.click()
    page.wait_for_selector("#lists .card")
    assert page.input_value("#query") == words


def test_a_hub_is_clicked_and_its_queries_lead_to_the_search(page, client, queries):
    page.goto(f"http://127.0.0.1:{client.port}/hubs")
    page.wait_for_selector(".cards .card", timeout=30_000)
    largest = int(page.locator(".card .rank").first.text_content())
    page.locator(".cards .card").first.click()
    lines = page.locator(".asked li")
    assert lines.count() >= largest
    lost = page.locator(".asked .lost").count()
    told = page.text_content("#chosen .query p")
    before, after = map(int, re.findall(r"(\d+) queries by the dot product, (\d+) with", told)[0])
    assert before == largest
    assert lines.count() - lost == after
    words = lines.first.locator("a").text_content()
    lines.first.locator("a").click()
    page.wait_for_selector("#lists .card")
    assert page.input_value("#query") == words


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_at_any_width(client, browser, width, scheme):
    base = f"http://127.0.0.1:{client.port}"
    page, said = opened(browser, f"{base}/?q=a+star&also=is", width, scheme)
    page.wait_for_selector("#lists .card")
    assert cut(page) == []
    boxes = page.locator("#lists section").evaluate_all(
        "parts => parts.map(part => part.getBoundingClientRect().top)"
    )
    assert len(set(boxes)) == 1
    for path in ("/hubs", "/map", "/compare", "/docs"):
        page.goto(base + path)
        page.wait_for_selector("h1")
        assert cut(page) == [], path
    assert said == []
    page.close()


def test_every_control_has_a_name(page):
    search(page)
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("input, select, button, img")].filter((each) =>
            !each.matches("[aria-hidden]") && !(each.labels && each.labels.length)
            && !each.textContent.trim() && !each.getAttribute("aria-label") && !each.alt
        ).map((each) => each.outerHTML)"""
    )
    assert unnamed == []


def test_a_token_is_asked_for_once(engine, queries, browser):
    with served(Service(engine, Access("secret & long"), shown=Shown(queries, report))) as client:
        base = f"http://127.0.0.1:{client.port}"
        assert "drawn &amp; served" not in client.get("/")[1].decode()
        assert queries.words[0] not in client.get("/")[1].decode()
        for path in ("/hubs", "/compare", "/map"):
            assert client.get(path)[0] == 401
        page, _ = opened(browser, f"{base}/?q=a+star")
        page.fill("#token", "wrong")
        page.keyboard.press("Enter")
        page.wait_for_selector("#refusal:visible")
        page.fill("#token", "secret & long")
        page.keyboard.press("Enter")
        page.wait_for_selector("#lists .card")
        loaded = "[...document.querySelectorAll('#lists img')].some((each) => each.naturalWidth)"
        until(page, lambda: page.evaluate(loaded))
        page.goto(f"{base}/compare")
        assert page.text_content("h1") == "A comparison"
        page.close()


def test_no_page_has_a_script_or_style_of_its_own(client):
    for path in ("/", "/hubs", "/map", "/compare", "/docs"):
        status, content, heads = client.get(path)
        text = content.decode()
        assert status == 200
        assert "default-src 'none'" in heads["content-security-policy"]
        assert "unsafe" not in heads["content-security-policy"]
        assert not re.search(r"<style|\sstyle=|\son\w+=\"|<script(?! src=)", text)
        for link in re.findall(r"(?:src|href)=\"([^\"]*)\"", text):
            assert re.match(r"/|#|data:", html.unescape(link)), link


def test_an_item_is_asked_about_by_its_number_alone(client):
    client.get("/hubs")
    for item in ("x", "-1", "99999", "1e3", "..%2f..%2fetc", "9" * 5000, "%C2%B2"):
        status, found, _ = client.get(f"/hubs?item={item}")
        assert status == 404
        assert found["error"].startswith("got no such item")


def test_without_queries_or_report_the_tabs_say_what_to_do(engine):
    with served(Service(engine)) as client:
        assert "--queries FILE" in client.get("/hubs")[1].decode()
        assert "--report compare.json" in client.get("/compare")[1].decode()
        assert "example-query" not in client.get("/")[1].decode()


def test_hubs_are_those_of_the_lists(engine, queries, client):
    counts = HubCounts(engine, queries, 0)
    while not counts.finished:
        counts.step()
    assert counts.done == 80
    for after, each in enumerate((None, {"method": "dn"})):
        found = {}
        for row in queries.rows:
            asked = {"vector": row.tolist(), "k": 10, **(each or {"method": "dot"})}
            for result in client.post("/search", asked)[1]["lists"][after]["results"]:
                found[result["id"]] = found.get(result["id"], 0) + 1
        assert counts.counts(bool(after)) == found
        item = max(found, key=found.get)
        assert len(counts.finding(item, bool(after))) == found[item]
        assert counts.figures(bool(after)).largest == found[item]


def test_a_failure_while_counting_is_one_line(engine, queries, monkeypatch):
    def fails(self):
        raise Refusal(503, "a dead database", "one that answers", "start it")

    monkeypatch.setattr(HubCounts, "step", fails)
    with served(Service(engine, shown=Shown(queries))) as client:
        status, content, _ = client.get("/hubs")
        assert status == 200
        assert "got a dead database" in content.decode()


def test_long_logs_are_sampled_evenly_and_say_so():
    queries = LoggedQueries(np.zeros((5000, 2), np.float32), [str(n) for n in range(5000)], "a log")
    some = queries.sample(100)
    assert len(some.rows) == len(some.words) == 100
    assert (some.words[0], some.words[-1]) == ("0", "4999")
    assert some.source == "100 of the 5000 of a log"


def test_reports_of_compare_are_read_or_refused_in_a_line(engine, tmp_path, rng):
    sides = [distnorm.normalize(rng.normal(size=(60, 8))) for _ in range(2)]
    found = distnorm.compare_retrieval(*sides, methods=["dot", "dn"], repeats=2).to_dict()
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(found))
    made = open_shown(engine, None, good).report()
    assert made.title == "distnorm: good.json"
    assert "text → image" in made.html()
    cut_short = {key: value for key, value in found.items() if key != "protocol"}
    for content in ("", "[]", '{"schema": 9}', "{", json.dumps(cut_short), "\xff"):
        bad.write_bytes(content.encode("latin-1"))
        with pytest.raises(distnorm.errors.DistnormError, match="distnorm compare"):
            open_shown(engine, None, bad)


def test_a_log_of_queries_is_read_with_its_words(engine, tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("a red star\na blue moon\na red star\n")
    found = open_shown(engine, str(log), None, "builtin").queries
    assert list(found.words) == ["a red star", "a blue moon"]
    assert found.rows.shape == (2, engine.items.dimension)
    wrong = tmp_path / "wrong.npy"
    np.save(wrong, np.ones((3, 5), np.float32))
    with pytest.raises(distnorm.errors.DistnormError, match="5 dimensions"):
        open_shown(engine, str(wrong), None)


def test_texts_of_a_store_are_its_queries(tmp_path, rng):
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name in ("img_emb", "text_emb", "metadata"):
        (tmp_path / name).mkdir()
    for name in ("img", "text"):
        rows = distnorm.normalize(rng.normal(size=(30, 8)).astype(np.float32))
        np.save(tmp_path / f"{name}_emb" / f"{name}_emb_0.npy", rows)
    captions = [f"caption {number}" for number in range(30)]
    table = pa.table({"image_path": captions, "caption": captions})
    pq.write_table(table, tmp_path / "metadata" / "metadata_0.parquet")
    found = open_shown(open_engine(Opening(str(tmp_path))), None, None).queries
    assert list(found.words) == captions
    assert found.rows.shape == (30, 8)
    np.save(tmp_path / "alone.npy", rows)
    alone = open_engine(Opening(str(tmp_path / "alone.npy")))
    assert open_shown(alone, None, None).queries is None
