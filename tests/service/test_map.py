"""The tab Map: an application of embedding-atlas, file by file, and nothing beside it."""

from __future__ import annotations

import pytest

for package in ("starlette", "uvicorn", "jinja2"):
    pytest.importorskip(package, reason="the service needs the extra 'serve'")

import numpy as np
from browser import opened, until
from serving import served

from distnorm import make
from distnorm.errors import DistnormError
from distnorm.service.app import Service
from distnorm.service.atlas_map import AtlasMap
from distnorm.service.guard import Access
from distnorm.service.opening import Opening, open_engine
from distnorm.service.shown import Shown

WASM = "new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]))"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("map")
    (root / "secret.txt").write_text("not of the map")
    app = root / "app"
    (app / "assets").mkdir(parents=True)
    (app / "data").mkdir()
    (app / "index.html").write_text(
        '<!doctype html><title>map</title><script type="module" src="./assets/a.js"></script>'
    )
    (app / "assets" / "a.js").write_text(
        f"{WASM}; fetch('./data/metadata.json').then(r => r.json())"
        ".then(found => { document.title = found.title; });"
    )
    (app / "data" / "metadata.json").write_text('{"title": "drawn"}')
    (app / "out.txt").symlink_to(root / "secret.txt")
    return app


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    rows = np.random.default_rng(0).standard_normal((20, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    place = tmp_path_factory.mktemp("served")
    np.save(place / "image.npy", rows)
    norm = make("dn").fit(images=rows, texts=rows[::-1].copy())
    norm.save(place / "dn.safetensors")
    return open_engine(Opening(str(place / "image.npy"), (str(place / "dn.safetensors"),)))


def test_files_of_the_application_are_served_and_no_others(engine, folder):
    with served(Service(engine, shown=Shown(map=AtlasMap.of(folder)))) as client:
        status, page, heads = client.get("/map")
        assert status == 200
        assert b'<iframe class="map" src="/map/app/index.html"' in page
        assert "unsafe" not in heads["content-security-policy"]
        status, _, heads = client.get("/map/app/assets/a.js")
        assert (status, heads["content-type"]) == (200, "text/javascript; charset=utf-8")
        policy = heads["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "'unsafe-eval'" not in policy
        assert "frame-ancestors 'self'" in policy
        outside = ("out.txt", "../secret.txt", "..%2fsecret.txt", "assets", "", "nothing.js")
        for name in outside:
            assert client.get(f"/map/app/{name}")[0] == 404, name


def test_the_application_runs_in_the_page(engine, folder, browser):
    with served(Service(engine, shown=Shown(map=AtlasMap.of(folder)))) as client:
        page, said = opened(browser, f"http://127.0.0.1:{client.port}/map")
        until(page, lambda: any(frame.title() == "drawn" for frame in page.frames))
        assert said == []
        page.close()


def test_the_map_asks_for_the_token(engine, folder):
    shown = Shown(map=AtlasMap.of(folder))
    with served(Service(engine, Access("secret"), shown=shown)) as client:
        assert client.get("/map/app/index.html")[0] == 401
    with served(Service(engine)) as client:
        assert client.get("/map/app/index.html")[0] == 404


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(DistnormError, match="--export-application"):
        AtlasMap.of(tmp_path)
