"""Files that revision 7858e80 saved are read, and mean what they meant.

New keys in results are welcome; what was recorded has to be there, to 1e-9.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import distnorm
from contract import stores
from contract.cases import STORE
from contract.commands import run
from contract.comparing import differences, settled
from contract.results import card_of, found_in, plain, results_of
from contract.saved import CARDS, FILES, expected, names_of_normalizations, saved_rows
from distnorm.search.indexes import open_index

NORMALIZATIONS = FILES / "normalizations"
RECORDED = expected("normalizations")
AGAIN = "if that is meant, record anew: python tests/contract/record.py cards"
EXACT = {"rel": 1e-9, "abs_": 1e-9, "grown": True}

# Words for people, which `cards/` and `json/card.json` hold: they may be worded anew.
WORDS = ("caveats", "title", "reference")
# Revision 7858e80 refuses to read what it has itself calibrated of `auto` if what that chose has
# another strength than 1: that is no behaviour to hold.
UNREAD = {"auto-calibrated": ("threshold", "false-alarm rate", "percentile")}


@pytest.fixture(scope="module")
def rows():
    return saved_rows()


def load(name):
    return distnorm.load(NORMALIZATIONS / f"{name}.safetensors")


def lines(recorded, found, **how):
    """What differs, for a message."""
    return "\n".join(differences(recorded, found, **{**EXACT, **how})[:20])


def needs(*modules):
    """Skip, with the reason, where something is not installed."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")


def test_there_is_a_file_of_every_recorded_method():
    assert sorted([*names_of_normalizations(), "both halves"]) == sorted(RECORDED)
    methods = {entry["results"]["settings"]["method"] for entry in RECORDED.values()}
    assert len(methods) == 13


@pytest.mark.parametrize("name", names_of_normalizations())
def test_a_saved_normalization_scores_as_it_did(name, rows):
    found = results_of(load(name), rows)
    for key in UNREAD.get(name, ()):
        found[key] = "refused"
    assert not lines(RECORDED[name]["results"], found)


@pytest.mark.parametrize("name", names_of_normalizations())
def test_a_saved_normalization_can_be_saved_again(name, rows, tmp_path):
    norm = load(name)
    norm.save(tmp_path / "again.safetensors")
    again = distnorm.load(tmp_path / "again.safetensors")
    assert again.to_dict() == norm.to_dict()
    assert plain(again.notes.to_dict()) == plain(norm.notes.to_dict())
    assert results_of(again, rows) == results_of(norm, rows)


@pytest.mark.parametrize("name", names_of_normalizations())
def test_the_card_of_a_saved_normalization_says_what_it_said(name):
    recorded, found = dict(RECORDED[name]["card"]), card_of(NORMALIZATIONS / f"{name}.safetensors")
    for word in WORDS:
        recorded.pop(word)
        assert word in found[0]
    if name in UNREAD:
        recorded.pop("calibration")
    assert not lines(recorded, found[0])


@pytest.mark.parametrize("name", CARDS)
def test_the_card_for_people_reads_as_recorded(name):
    recorded = (FILES.parent / "cards" / f"{name}.md").read_text("utf-8")
    assert card_of(NORMALIZATIONS / f"{name}.safetensors")[1] == recorded, AGAIN


def test_saved_normalizations_call_themselves_as_recorded():
    recorded = json.loads((FILES.parent / "cards" / "reprs.json").read_text("utf-8"))
    assert {name: repr(load(name)) for name in names_of_normalizations()} == recorded, AGAIN


def test_saved_halves_merge_as_they_did(rows):
    found = load("dn2-first-half").merge(load("dn2-second-half"))
    assert not lines(RECORDED["both halves"]["results"], results_of(found, rows))


@pytest.mark.parametrize("name", sorted(stores.STEPS))
def test_a_saved_store_is_searched_fitted_and_gone_on_with(name):
    """On a copy. Only the query is encoded anew, in float32."""
    needs(*STORE)
    # Checksums cover the folder that a store lay in.
    found = settled(plain(stores.play(name, FILES / "stores")))
    assert not lines(settled(expected("stores")[name]), found, rel=1e-4, abs_=1e-5)


def test_kept_biases_are_used_as_they_are_kept():
    """Strange numbers make a strange list: nothing has computed them anew."""
    needs(*STORE)
    plainly, kept, strange, *_ = stores.play("kept biases", FILES / "stores")
    names = [
        [entry["name"] for entry in step["json"]["results"]] for step in (plainly, kept, strange)
    ]
    assert names[0] == names[1] != names[2]


@pytest.fixture
def indexes(tmp_path, monkeypatch):
    """A copy of the saved indexes in the current folder."""
    shutil.copytree(FILES / "indexes", tmp_path / "indexes")
    monkeypatch.chdir(tmp_path)


SPECS = {
    "begun": ("faiss:indexes/photos.index", "indexes/begun"),
    "faiss": ("faiss:indexes/photos.index", None),
    "sqlite-vec": ("sqlite-vec:indexes/photos.sqlite/photos", None),
    "strange": ("faiss:indexes/photos.index", "indexes/strange"),
}


def opened(name):
    needs(*(("sqlite_vec",) if name == "sqlite-vec" else ("faiss",)))
    spec, biases = SPECS[name]
    try:
        return open_index(spec, biases=biases)
    except distnorm.MissingExtraError as error:
        # A Python whose sqlite3 loads no extensions.
        pytest.skip(str(error))


@pytest.mark.parametrize("name", sorted(expected("indexes")))
def test_biases_in_a_saved_index_are_found_and_used(name, indexes, rows):
    with opened(name) as index:
        found = found_in(index, load("nnn"), rows["text_queries"])
        if name == "strange":
            # Its biases are not those of its rows, which a look at them finds.
            assert found["check"]["changed"] > 0
            found["check"] |= {"mend": None, "healthy": True}
        # The system's own arithmetic is float32.
        assert not lines(expected("indexes")[name], found, rel=1e-5, abs_=1e-6)
        done = index.upload_bias(load("nnn"))
        assert (done.written, done.already) == (0, 24)
    assert (
        expected("indexes")["strange"]["normalized"] != expected("indexes")["faiss"]["normalized"]
    )


def test_a_begun_upload_goes_on(indexes, rows):
    with opened("begun") as index:
        with pytest.raises(distnorm.DistnormError, match="no stored bias"):
            index.search(rows["text_queries"], 5, load("nnn"))
        done = index.upload_bias(load("nnn"), batch=20)
        assert (done.written, done.already) == (4, 20)
        found = found_in(index, load("nnn"), rows["text_queries"])
    assert not lines(expected("indexes")["faiss"], found, rel=1e-5, abs_=1e-6)


def but_for_errors(watch):
    """What a watch says without the errors of new looks, which are those of blocks by now."""
    if isinstance(watch, list):
        return [but_for_errors(each) for each in watch]
    if not isinstance(watch, dict):
        return watch
    kept = {key: value for key, value in watch.items() if key not in ("expected", "p_value")}
    return {key: but_for_errors(value) for key, value in kept.items()}


@pytest.mark.parametrize("name", ["quiet", "alarmed"])
def test_a_saved_watch_goes_on(name, rows):
    recorded, norm = expected("watches")[name], load("dn")
    watch = distnorm.Watch.load(FILES / "watches" / f"{name}.safetensors", norm)
    assert not lines(recorded["loaded"], plain(watch.to_dict()))
    watch.update(images=rows["image"])
    more = plain(watch.to_dict())
    assert not lines(but_for_errors(recorded["with more rows"]), but_for_errors(more))
    assert not lines(recorded["refreshed"], results_of(watch.refreshed(0.5), rows))


def test_a_saved_watch_is_gone_on_with_by_the_command(tmp_path, monkeypatch, rows):
    """The state that Python wrote is the state that ``distnorm watch --state`` takes."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(FILES / "watches" / "quiet.safetensors", "state")
    np.save("image.npy", rows["image"])
    file = NORMALIZATIONS / "dn.safetensors"
    done = run("watch", file, "--images", "image.npy", "--state", "state", "--json", "-")
    assert done.exit_code == 0, done.output
    recorded = expected("watches")["quiet"]["with more rows"]
    assert not lines(but_for_errors(recorded), but_for_errors(json.loads(done.stdout)))


def test_the_files_are_small():
    paths = [path for path in Path(FILES).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in paths) < 450_000
