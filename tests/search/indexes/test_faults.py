"""What can be wrong with a spec, a query, a normalization or a server: one clear line each."""

from __future__ import annotations

import contextlib
import copy
import pickle
import socket
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import distnorm
from distnorm import DistnormError
from distnorm.errors import masked
from distnorm.search.indexes import SYSTEMS, is_spec, open_index


def one_line(error):
    assert "\n" not in str(error.value)
    assert "Traceback" not in str(error.value)
    return str(error.value)


def test_bad_queries_and_settings(index_case, index_built, index_world):
    norm = index_world.norm("dn")
    queries = index_world.queries
    broken = queries.copy()
    broken[1, 3] = np.nan
    with index_built.open() as index:
        for bad, part in (
            ({"queries": queries[:, :7]}, "24 dimensions"),
            ({"queries": broken}, "NaN in queries, first in row 1"),
            ({"queries": queries[0]}, "2-D"),
            ({"queries": queries[:0]}, "at least one row"),
            ({"queries": np.zeros_like(queries)}, "an all-zero row"),
            ({"queries": queries.astype(int)}, "dtype int64"),
            ({"k": 0}, "k = 0"),
            ({"k": True}, "k = True"),
            ({"k": 2.5}, "k = 2.5"),
            ({"overfetch": -3, "normalization": norm}, "overfetch = -3"),
            ({"mode": "cosine"}, "mode 'cosine'"),
            ({"mode": "normalized"}, "without a normalization"),
            ({"mode": "both"}, "without a normalization"),
            ({"normalization": norm, "modality": "audio"}, "side 'audio'"),
            ({"normalization": norm, "query_side": "audio"}, "side 'audio'"),
            (
                {"normalization": norm, "query_side": "text", "modality": "image"},
                "query_side='text' and modality='image'",
            ),
            ({"normalization": norm, "queries": 3 * queries}, "not of unit length"),
            ({"normalization": distnorm.make("dn")}, "no statistics of the text side"),
        ):
            with pytest.raises(DistnormError, match=part) as error:
                index.search(**{"queries": queries, "k": 3, **bad})
            one_line(error)
        other = distnorm.make("dn", input="any").fit(texts=queries[:, :16])
        with pytest.raises(DistnormError, match="16 dimensions") as error:
            index.search(queries, 3, other)
        one_line(error)


def test_another_models_index(index_case, index_built, index_world):
    norm = index_world.norm("dn", model="open_clip:ViT-B-32")
    with index_built.open(model="open_clip:ViT-L-14") as index:
        with pytest.raises(DistnormError, match=r"'open_clip:ViT-B-32'.*'open_clip:ViT-L-14'"):
            index.search(index_world.queries, 3, norm)
        assert index.search(index_world.queries, 3, index_world.norm("dn")).method == "dn"
    with index_built.open() as index:
        # Nobody said whose rows these are: the means tell.
        flipped = distnorm.make("dn").fit(images=-index_world.images, texts=index_world.texts)
        if index_case.gives_rows:
            assert index.check(flipped).mean_cosine < -0.9
            assert not index.check(flipped).healthy


MISSING = (
    ("faiss:{}/none.index", "faiss", "no file"),
    ("usearch:{}/none", "usearch", "no file"),
    ("hnswlib:{}/none?dim=8&space=ip", "hnswlib", "no file"),
    ("qdrant:{}/none/photos", "qdrant_client", "no folder"),
    ("lancedb:{}/none/photos", "lancedb", "no folder"),
    ("milvus:{}/none.db/photos", "pymilvus", "no file"),
    ("chroma:{}/none/photos", "chromadb", "no folder"),
    ("duckdb:{}/none.db/photos", "duckdb", "no file"),
    ("sqlite-vec:{}/none.db/photos", "sqlite_vec", "no file"),
    ("faiss:{}/junk", "faiss", "cannot read"),
    ("usearch:{}/junk", "usearch", "cannot read|no USearch"),
    ("hnswlib:{}/junk?dim=8&space=ip", "hnswlib", "cannot read|as it was built"),
    ("duckdb:{}/junk/photos", "duckdb", "does not open"),
    ("sqlite-vec:{}/junk/photos", "sqlite_vec", "not a database"),
    ("hnswlib:{}/junk", "hnswlib", "the file does not say"),
    ("chroma:{}/photos", "chromadb", "no file"),
)


@pytest.mark.parametrize(("spec", "module", "part"), MISSING, ids=[m[0] for m in MISSING])
def test_an_index_that_is_not_there(spec, module, part, tmp_path):
    pytest.importorskip(module, reason=f"{module} is not installed")
    (tmp_path / "junk").write_bytes(b"x" * 300)
    with pytest.raises(DistnormError, match=part) as error:
        open_index(spec.format(tmp_path))
    one_line(error)


def test_a_table_that_is_not_there(index_case, index_built):
    if index_built.spec is None or index_case.name.startswith(("faiss", "usearch", "hnswlib")):
        # There is nothing to misname: test_an_index_that_is_not_there has their missing files.
        pytest.skip("files have no tables, and memory no spec")
    head, _, tail = index_built.spec.partition("?")
    name = head.rpartition("/")[0] + "/nowhere"
    with pytest.raises(DistnormError, match=r"nowhere|indice") as error:
        open_index(f"{name}?{tail}" if tail else name)
    one_line(error)


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ("", "system:place"),
        ("faiss", "system:place"),
        ("faiss:", "system:place"),
        ("pinecone:x", "one of|a system of"),
        ("faiss:a\0b", "system:place"),
        (None, "system:place"),
        ("qdrant:photos", "qdrant:PLACE/COLLECTION"),
        ("qdrant:http://photos", "qdrant:PLACE/COLLECTION"),
        ("duckdb:photos.db", "duckdb:PLACE/TABLE"),
        ("pgvector:photos", "database and table|postgresql://"),
        ("pgvector:postgresql://host/database", "postgresql://user@host/database/table"),
        ("clip-retrieval:host/photos", "http://host:port/indice"),
        ("faiss:x?nprobes=3", "option 'nprobes'"),
        ("faiss:x?target=3", "option 'target'"),
        ("duckdb:x/y?path=z", "option 'path'"),
        ("faiss:x?nprobe=many", "nprobe=many"),
        ("usearch:x?view=perhaps", "view=perhaps"),
        ("duckdb:a/b;drop", "no file|letters"),
    ],
)
def test_specs_that_say_nothing(spec, part):
    name = str(spec).partition(":")[0]
    module = {"qdrant": "qdrant_client", "pgvector": "psycopg"}.get(name, name)
    if name in ("faiss", "usearch", "qdrant", "pgvector", "duckdb") and ":" in str(spec)[:-1]:
        pytest.importorskip(module, reason=f"{module} is not installed")
    with pytest.raises(DistnormError, match=part) as error:
        open_index(spec)
    one_line(error)


@given(
    st.sampled_from(sorted(SYSTEMS)),
    st.text(max_size=30),
    st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=2),
)
def test_any_text_is_a_spec_or_an_error(tmp_path_factory, system, place, options):
    """Nothing but DistnormError comes out, and nothing is created."""
    folder = tmp_path_factory.getbasetemp() / "fuzz"
    folder.mkdir(exist_ok=True)
    tail = "&".join(f"{key}={value}" for key, value in options.items())
    # A host nobody has would be looked up.
    if "://" in place:
        place = place.replace("://", "")
    spec = f"{system}:{folder}/x{place}" + (f"?{tail}" if tail else "")
    with pytest.raises(DistnormError) as error:
        open_index(spec)
    one_line(error)
    assert not list(folder.iterdir())


@given(
    st.integers(-3, 400) | st.booleans() | st.floats(),
    st.sampled_from(["dot", "normalized", "both", None, "x"]),
    st.integers(0, 3),
    st.integers(1, 30),
    st.sampled_from(["dn", "nnn", None]),
    st.none() | st.integers(-1, 50),
)
def test_any_call_gives_lists_or_an_error(
    tmp_path_factory, index_world, index_builders, k, mode, n, d, method, overfetch
):
    pytest.importorskip("faiss", reason="faiss is not installed")
    folder = tmp_path_factory.getbasetemp() / "calls"
    norms = {name: index_world.norm(name) for name in ("dn", "nnn")}
    if not folder.exists():
        folder.mkdir()
        index_builders.faiss_index("flat", folder, range(300), index_world.items)
        with open_index(f"faiss:{folder}/flat.index") as index:
            index.upload_bias(norms["nnn"])
    queries = np.random.default_rng(n + d).standard_normal((n, d)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    usable = (
        isinstance(k, int)
        and not isinstance(k, bool)
        and k >= 1
        and n >= 1
        and d == 24
        and mode != "x"
        and (method is not None or mode in ("dot", None))
        and overfetch != -1
    )
    with open_index(f"faiss:{folder}/flat.index") as index:
        try:
            found = index.search(queries, k, norms.get(method), mode, overfetch=overfetch)
        except DistnormError:
            if usable:
                raise
            return
    assert usable
    for each in (found.dot, found.normalized) if mode == "both" else (found,):
        assert all(len(row) == min(k, 300) for row in each.ids)
        if each.method != "nnn" or k >= 30:
            assert all(each.certified)


def closed_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextlib.contextmanager
def silent_server():
    """Takes connections and never says a word."""
    server = socket.create_server(("127.0.0.1", 0))
    held, stopping = [], threading.Event()

    def accept():
        server.settimeout(0.1)
        while not stopping.is_set():
            with contextlib.suppress(TimeoutError):
                held.append(server.accept()[0])

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        stopping.set()
        thread.join()
        for connection in held:
            connection.close()
        server.close()


SERVERS = (
    ("clip-retrieval:http://127.0.0.1:{}/photos?timeout=0.5", "json"),
    ("qdrant:http://127.0.0.1:{}/photos?timeout=1", "qdrant_client"),
    ("pgvector:postgresql://me@127.0.0.1:{}/photos/photos?timeout=1", "psycopg"),
    ("milvus:http://127.0.0.1:{}/photos?timeout=1", "pymilvus"),
    ("chroma:http://127.0.0.1:{}/photos?timeout=1", "chromadb"),
)


@pytest.mark.parametrize(("spec", "module"), SERVERS, ids=[s[0].split(":")[0] for s in SERVERS])
def test_a_server_that_is_down(spec, module):
    pytest.importorskip(module, reason=f"{module} is not installed")
    with pytest.raises(DistnormError) as error:
        open_index(spec.format(closed_port()))
    one_line(error)


@pytest.mark.parametrize(("spec", "module"), SERVERS, ids=[s[0].split(":")[0] for s in SERVERS])
def test_a_server_that_does_not_answer(spec, module):
    pytest.importorskip(module, reason=f"{module} is not installed")
    with silent_server() as port:
        start = time.monotonic()
        with pytest.raises(DistnormError) as error:
            open_index(spec.format(port))
        # Not a speed: only that it comes back by itself at all.
        assert time.monotonic() - start < 60
    one_line(error)


def test_a_server_that_goes_away_between_searches(index_builders, index_world, tmp_path):
    built = index_builders.clip_retrieval_index(tmp_path, range(30), index_world.items[:30])
    with built.open(timeout=0.5) as index:
        assert index.search(index_world.queries[:1], 3).method == "dot"
        built.stop()
        with pytest.raises(DistnormError, match="clip-retrieval on search"):
            index.search(index_world.queries[:1], 3)


def test_an_answer_of_another_kind(index_builders, index_world, tmp_path):
    built = index_builders.clip_retrieval_index(tmp_path, range(30), index_world.items[:30])
    try:
        with built.open() as index:
            index._ask([0.0] * 24, 1)
            index.capabilities = replace(index.capabilities, dimension=12)
            with pytest.raises(DistnormError, match="HTTP 500"):
                index.search(index_world.queries[:1, :12], 3)
            index._get = lambda *_: {"message": "busy"}
            with pytest.raises(DistnormError, match="no list"):
                index.search(index_world.queries[:1, :12], 3)
        base, _, _ = built.spec.partition("?")
        # 24 is none of the usual sizes, so it has to be said.
        with pytest.raises(DistnormError, match="pass dimension="):
            open_index(base)
    finally:
        built.stop()


def test_hnswlib_files_of_other_dimensions(index_builders, index_world, tmp_path):
    pytest.importorskip("hnswlib", reason="hnswlib is not installed")
    index_builders.hnswlib_index("ip", tmp_path, range(30), index_world.items[:30])
    with pytest.raises(DistnormError, match=r"dim=12.*24 as it was built"):
        open_index(f"hnswlib:{tmp_path}/ip.hnswlib?dim=12&space=ip")


def test_rows_that_are_not_of_unit_length(index_builders, index_world, tmp_path):
    pytest.importorskip("faiss", reason="faiss is not installed")
    for kind in ("flat", "flat-l2"):
        index_builders.faiss_index(kind, tmp_path, range(30), 3 * index_world.items[:30])
        with (
            open_index(f"faiss:{tmp_path}/{kind}.index") as index,
            pytest.raises(DistnormError, match="not of unit length"),
        ):
            index.search(index_world.queries, 3, index_world.norm("dn"))


def test_bias_dimension_wants_inner_product(index_builders, index_world, tmp_path):
    pytest.importorskip("faiss", reason="faiss is not installed")
    index_builders.faiss_index("flat-l2", tmp_path, range(30), index_world.items[:30])
    with pytest.raises(DistnormError, match="an inner product index"):
        open_index(f"faiss:{tmp_path}/flat-l2.index?bias_dimension=true")


def test_a_missing_extra_names_the_pip_line(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "duckdb", None)
    with pytest.raises(distnorm.MissingExtraError, match=r"pip install 'distnorm\[duckdb\]'"):
        open_index("duckdb:a.db/b")


def test_what_is_a_spec():
    assert is_spec("qdrant:folder/photos")
    assert is_spec("pinecone:photos")
    assert not is_spec("photos")
    assert not is_spec("faiss:")
    assert not is_spec("C:/photos")


@pytest.mark.parametrize("system", ["chroma-ip", "qdrant-dot", "lancedb-dot", "milvus-ip"])
def test_nothing_is_sent_out(system, index_builders, index_world, tmp_path, monkeypatch):
    """Telemetry and the like: no Python socket leaves this machine."""
    case = next(case for case in index_builders.CASES if case.name == system)
    if case.missing:
        pytest.skip(f"{case.missing} is not installed")
    reached = []
    connect = socket.socket.connect

    def watched(self, address):
        local = isinstance(address, str) or address[0] in ("127.0.0.1", "::1", "localhost")
        if not local:
            reached.append(address)
            raise ConnectionRefusedError(f"{address} is outside")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", watched)
    monkeypatch.setattr(socket, "getaddrinfo", _only_here(socket.getaddrinfo, reached))
    built = case.build(tmp_path, range(40), index_world.items[:40])
    with built.open() as index:
        index.upload_bias(index_world.norm("nnn"))
        index.search(index_world.queries, 5, index_world.norm("nnn"))
    built.stop()
    assert reached == []


def _only_here(getaddrinfo, reached):
    def look_up(host, *arguments, **options):
        if host not in (None, "127.0.0.1", "::1", "localhost"):
            reached.append(host)
        return getaddrinfo(host, *arguments, **options)

    return look_up


HIDDEN = (
    "pgvector:postgresql://me:{}@127.0.0.1:{}/photos",
    "pgvector:postgresql+psycopg://me:{}@127.0.0.1:{}/shop/photos",
    "pgvector:postgresql://127.0.0.1:{1}/shop/photos?user=me&password={0}",
    "pgvector:postgresql://me:{}%2F@127.0.0.1:{}/shop/photos?colunm=x",
    "pgvector:postgresql://me:a/{}@127.0.0.1:{}/shop/photos",
    "pgvector:postgresql://me:a@{}@127.0.0.1:{}/shop/photos",
    "pgvector:postgresql://me:a?{}@127.0.0.1:{}/shop/photos",
    "pgvector:host=127.0.0.1 port={1} password='{0}'",
    "postgresql://me:{}@127.0.0.1:{}/shop/photos",
    "qdrant:http://127.0.0.1:{1}/photos?api_key={0}",
    "qdrant:http://127.0.0.1:{1}?api_key={0}",
    "qdrant:http://me:{}@127.0.0.1:{}/photos",
    "milvus:nowhere.db/photos?token=root:{0}",
    "chroma:http://me:{}@127.0.0.1:{}/photos",
    "clip-retrieval:http://{}@127.0.0.1:{}/photos",
    "pinecone:photos?api_key={}",
)


# Of keys that go over plain HTTP.
@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
@pytest.mark.parametrize("spec", HIDDEN)
def test_no_message_shows_a_secret(spec):
    """Nor does what a message rests on, which a traceback would print."""
    named = {"qdrant": "qdrant_client", "pgvector": "psycopg", "milvus": "pymilvus"}
    module = named.get(spec.partition(":")[0], spec.partition(":")[0])
    if module in SYSTEMS or module in named.values():
        pytest.importorskip(module.replace("chroma", "chromadb").replace("clip-retrieval", "json"))
    with pytest.raises(DistnormError) as error:
        open_index(spec.format("s3cr3tPW", closed_port()))
    raised = error.value
    while raised is not None:
        assert "s3cr3tPW" not in str(raised)
        raised = None if raised.__suppress_context__ and not raised.__cause__ else raised.__cause__
    assert "s3cr3tPW" not in repr(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "pgvector:postgresql:/u:s3cr3tPW@host/db/photos",
        "pgvector:postgresql:/u:12/s3cr3tPW@host/db/photos",
        "qdrant:http:/u:s3cr3tPW@host:6333/photos",
        "qdrant:https:/s3cr3tPW@host/photos",
    ],
)
def test_an_address_that_was_taken_for_a_path_shows_no_secret(text):
    assert "s3cr3tPW" not in masked(text)
    assert masked(text).partition("***")[2].startswith("@host")


def test_what_is_no_secret_stays():
    for text in (
        "qdrant:http://host:6333/photos@v2",
        "postgresql://postgres@host:5432/shop/photos?column=embedding",
        "tokenizer=clip&max_tokens=77",
    ):
        assert masked(text) == text


def test_indexes_of_hnswlib_that_are_not_begun():
    hnswlib = pytest.importorskip("hnswlib")
    from distnorm.search.indexes.hnswlib import HnswlibIndex

    for index in (hnswlib.Index("ip", 8), hnswlib.BFIndex("ip", 8)):
        with pytest.raises(DistnormError, match="init_index"):
            HnswlibIndex(index)


def test_an_open_index_stays_in_its_process():
    faiss = pytest.importorskip("faiss")
    from distnorm.search.indexes.faiss import FaissIndex

    index = FaissIndex(faiss.IndexFlatIP(8))
    for travel in (pickle.dumps, copy.deepcopy):
        with pytest.raises(DistnormError, match=r"open_index\(SPEC\)"):
            travel(index)
    assert copy.copy(index).count() == 0
