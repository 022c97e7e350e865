"""Every operation: start, roll back, start, both versions read and write, complete; data and catalogue are looked at."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

pytestmark = pytest.mark.live


OLDER = [] if "HITLESS_TEST_PG" in os.environ else ["14.23.0", "16.15.0"]


@pytest.fixture(scope="session", params=["given", *OLDER])
def server(request: pytest.FixtureRequest, postgres: Any, cluster: Callable[[str], Any]) -> Any:
    """Each operation is also tried on older releases; `make matrix` tries everything on each."""
    return postgres if request.param == "given" else cluster(request.param)


ITEMS = """
CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL, price int, status text DEFAULT 'new');
INSERT INTO items SELECT g, 'name ' || g, g, 'new' FROM generate_series(1, 40) g;
"""
OWNERS = (
    "CREATE TABLE owners (id int PRIMARY KEY); INSERT INTO owners SELECT generate_series(0, 40);"
    + ITEMS
    + "ALTER TABLE items ADD owner int;"
)


@dataclass(frozen=True)
class Write:
    """What one side writes, and what the other then reads."""

    sql: str
    read: str
    expected: list[tuple[Any, ...]]


@dataclass(frozen=True)
class Case:
    name: str
    text: str  # the operations
    setup: str = ITEMS
    old: tuple[Write, ...] = ()  # written by the old version, read by the new one
    new: tuple[Write, ...] = ()  # the other way round
    refused: tuple[str, ...] = ()  # what the new version must not be able to write
    after: tuple[tuple[str, list[tuple[Any, ...]]], ...] = ()  # read by the new version after contract
    catalogue: tuple[str, ...] = ()  # texts that must stand in the catalogue after contract
    gone: tuple[str, ...] = ()  # texts that must not
    rolls_back: bool = True
    minimum: int = 0  # major version
    requires: str = ""  # an extension
    lists: dict[str, Any] = field(default_factory=dict)


CASES = (
    Case(
        "create_table",
        "create_table: {name: t, columns: [{name: id, type: serial, pk: true}, {name: n, type: text, nullable: true, "
        "unique: true, default: \"'x'\", comment: hello}], constraints: [{name: t_check, type: check, check: n <> 'bad'}]}",
        new=(Write("INSERT INTO t DEFAULT VALUES", "SELECT count(*) FROM items", [(40,)]),),
        refused=("INSERT INTO t (n) VALUES ('bad')",),
        after=(("SELECT id, n FROM t", [(1, "x")]),),
        catalogue=("t_check", "hello", "t_n_key"),
    ),
    Case(
        "rename_table",
        "rename_table: {from: items, to: things}",
        old=(
            Write("INSERT INTO items (id, name) VALUES (50, 'a')", "SELECT name FROM things WHERE id = 50", [("a",)]),
        ),
        new=(Write("UPDATE things SET name = 'b' WHERE id = 50", "SELECT name FROM items WHERE id = 50", [("b",)]),),
        after=(("SELECT count(*) FROM things", [(41,)]),),
        gone=("items.name",),
    ),
    Case(
        "drop_table",
        "drop_table: {name: items}",
        old=(Write("INSERT INTO items (id, name) VALUES (50, 'a')", "SELECT 1", [(1,)]),),
        gone=("items_pkey",),
    ),
    Case(
        "add_column with up",
        "add_column: {table: items, up: upper(name), column: {name: loud, type: text, check: {name: loud_check, constraint: length(loud) > 0}}}",
        old=(
            Write(
                "INSERT INTO items (id, name) VALUES (50, 'abc')", "SELECT loud FROM items WHERE id = 50", [("ABC",)]
            ),
            Write("UPDATE items SET name = 'def' WHERE id = 50", "SELECT loud FROM items WHERE id = 50", [("DEF",)]),
        ),
        new=(
            Write(
                "INSERT INTO items (id, name, loud) VALUES (51, 'q', 'own')",
                "SELECT name FROM items WHERE id = 51",
                [("q",)],
            ),
        ),
        refused=(
            "INSERT INTO items (id, name, loud) VALUES (60, 'q', NULL)",
            "UPDATE items SET loud = '' WHERE id = 1",
        ),
        after=(("SELECT loud FROM items WHERE id IN (1, 51) ORDER BY id", [("NAME 1",), ("own",)]),),
        catalogue=("loud_check", "'loud', 'text', None, 'NO'"),
    ),
    Case(
        "add_column with a default and unique",
        "add_column: {table: items, up: id::text, column: {name: code, type: text, unique: true, default: \"'none'\"}}",
        old=(
            Write("INSERT INTO items (id, name) VALUES (50, 'abc')", "SELECT code FROM items WHERE id = 50", [("50",)]),
        ),
        new=(
            Write(
                "INSERT INTO items (id, name) VALUES (51, 'q') RETURNING code", "SELECT count(*) FROM items", [(42,)]
            ),
        ),
        refused=("INSERT INTO items (id, name) VALUES (60, 'q')",),
        after=(("SELECT code FROM items WHERE id >= 50 ORDER BY id", [("50",), ("none",)]),),
        catalogue=("items_code_key",),
    ),
    Case(
        "add_column references",
        "add_column: {table: items, up: id, column: {name: owner_id, type: int, references: {name: items_owner_fk, table: owners, column: id, on_delete: CASCADE}}}",
        setup=OWNERS,
        old=(
            Write("INSERT INTO items (id, name) VALUES (0, 'abc')", "SELECT owner_id FROM items WHERE id = 0", [(0,)]),
        ),
        refused=("UPDATE items SET owner_id = 999 WHERE id = 1",),
        new=(Write("DELETE FROM owners WHERE id = 7", "SELECT count(*) FROM items", [(40,)]),),
        catalogue=("items_owner_fk",),
    ),
    Case(
        "add_column identity",
        "add_column: {table: items, column: {name: n, type: bigint, generated: {identity: {}}}}",
        old=(
            Write(
                "INSERT INTO items (id, name) VALUES (50, 'abc')", "SELECT n > 0 FROM items WHERE id = 50", [(True,)]
            ),
        ),
        new=(Write("INSERT INTO items (id, name) VALUES (51, 'abc')", "SELECT count(*) FROM items", [(42,)]),),
        after=(("SELECT count(DISTINCT n), count(*) FROM items", [(42, 42)]),),
        catalogue=("'n', 'int8', None, 'NO', None, 'YES'",),
    ),
    Case(
        "add_column serial",
        "add_column: {table: items, column: {name: n, type: serial}}",
        old=(
            Write(
                "INSERT INTO items (id, name) VALUES (50, 'abc')", "SELECT n > 0 FROM items WHERE id = 50", [(True,)]
            ),
        ),
        after=(("SELECT count(DISTINCT n), count(*) FROM items", [(41, 41)]),),
        catalogue=("items_n_seq",),
    ),
    Case(
        "add_column generated",
        "add_column: {table: items, column: {name: twice, type: int, nullable: true, generated: {expression: price * 2}}}",
        setup=ITEMS
        + "CREATE INDEX items_status ON items (status); CREATE UNIQUE INDEX items_name ON items (lower(name));",
        old=(
            Write(
                "INSERT INTO items (id, name, price) VALUES (50, 'abc', 4)",
                "SELECT twice FROM items WHERE id = 50",
                [(8,)],
            ),
            Write("UPDATE items SET price = 5 WHERE id = 50", "SELECT twice FROM items WHERE id = 50", [(10,)]),
            Write("DELETE FROM items WHERE id = 2", "SELECT count(*) FROM items", [(40,)]),
        ),
        new=(
            Write(
                "INSERT INTO items (id, name, price) VALUES (51, 'q', 7) RETURNING twice",
                "SELECT price FROM items WHERE id = 51",
                [(7,)],
            ),
            Write(
                "UPDATE items SET id = 52 WHERE id = 51", "SELECT id FROM items WHERE price = 7 AND id > 50", [(52,)]
            ),
            Write("DELETE FROM items WHERE id = 3", "SELECT count(*) FROM items WHERE id IN (2, 3)", [(0,)]),
        ),
        after=(("SELECT twice FROM items WHERE id = 52", [(14,)]),),
        catalogue=("'twice'", "items_status", "items_name", "'items_pkey'"),
    ),
    Case(
        "add_column virtual",
        "add_column: {table: items, column: {name: twice, type: int, nullable: true, generated: {expression: price * 2, virtual: true}}}",
        minimum=18,
        old=(
            Write(
                "INSERT INTO items (id, name, price) VALUES (50, 'abc', 4)",
                "SELECT twice FROM items WHERE id = 50",
                [(8,)],
            ),
        ),
        catalogue=("'twice'",),
    ),
    Case(
        "rename_column",
        "rename_column: {table: items, from: name, to: title}",
        old=(
            Write("INSERT INTO items (id, name) VALUES (50, 'a')", "SELECT title FROM items WHERE id = 50", [("a",)]),
        ),
        new=(
            Write(
                "INSERT INTO items (id, title) VALUES (51, 'z') ON CONFLICT (id) DO NOTHING",
                "SELECT name FROM items WHERE id = 51",
                [("z",)],
            ),
        ),
        catalogue=("'title'",),
        gone=("'name', 'text'",),
    ),
    Case(
        "drop_column",
        "drop_column: {table: items, column: name, down: \"'nameless ' || id\"}",
        old=(Write("INSERT INTO items (id, name) VALUES (50, 'a')", "SELECT count(*) FROM items", [(41,)]),),
        new=(
            Write("INSERT INTO items (id) VALUES (51)", "SELECT name FROM items WHERE id = 51", [("nameless 51",)]),
            Write("UPDATE items SET price = 0 WHERE id = 50", "SELECT name FROM items WHERE id = 50", [("a",)]),
        ),
        refused=("SELECT name FROM items",),
        gone=("'name', 'text'",),
    ),
    Case(
        "alter_column type",
        "alter_column: {table: items, column: price, type: bigint, up: price::bigint * 100, down: (price / 100)::int}",
        setup=ITEMS
        + "CREATE INDEX items_price ON items (price) WHERE price > 3; ALTER TABLE items ADD CONSTRAINT dear CHECK (price < 1000000);",
        old=(
            Write(
                "INSERT INTO items (id, name, price) VALUES (50, 'a', 5)",
                "SELECT price FROM items WHERE id = 50",
                [(500,)],
            ),
        ),
        new=(
            Write("UPDATE items SET price = 250 WHERE id = 50", "SELECT price FROM items WHERE id = 50", [(2,)]),
            Write("UPDATE items SET status = 'x' WHERE id = 50", "SELECT price FROM items WHERE id = 50", [(2,)]),
        ),
        refused=("UPDATE items SET price = 100000000 WHERE id = 1",),
        after=(("SELECT price FROM items WHERE id IN (1, 50) ORDER BY 1", [(100,), (250,)]),),
        catalogue=("'price', 'int8'", "items_price", "'dear'"),
    ),
    Case(
        "alter_column nullable false",
        "alter_column: {table: items, column: price, nullable: false, up: 'coalesce(price, 0)', down: price}",
        old=(Write("INSERT INTO items (id, name) VALUES (50, 'a')", "SELECT price FROM items WHERE id = 50", [(0,)]),),
        new=(
            Write(
                "INSERT INTO items (id, name, price) VALUES (51, 'a', 3)",
                "SELECT price FROM items WHERE id = 51",
                [(3,)],
            ),
        ),
        refused=("INSERT INTO items (id, name) VALUES (60, 'a')",),
        catalogue=("'price', 'int4', None, 'NO'",),
    ),
    Case(
        "alter_column nullable true",
        "alter_column: {table: items, column: name, nullable: true, up: name, down: \"coalesce(name, '?')\"}",
        old=(Write("INSERT INTO items (id, name) VALUES (50, 'a')", "SELECT name FROM items WHERE id = 50", [("a",)]),),
        new=(
            Write("INSERT INTO items (id, name) VALUES (51, NULL)", "SELECT name FROM items WHERE id = 51", [("?",)]),
            Write("UPDATE items SET name = NULL WHERE id = 50", "SELECT name FROM items WHERE id = 50", [("?",)]),
        ),
        after=(("SELECT name FROM items WHERE id = 51", [(None,)]),),
        catalogue=("'name', 'text', None, 'YES'",),
    ),
    Case(
        "alter_column twice, by another name",
        "alter_column: {table: items, column: price, type: bigint, up: price + 1, down: price - 1}\n"
        "  - rename_column: {table: items, from: price, to: cents}\n"
        "  - alter_column: {table: items, column: cents, type: text, up: \"cents || '!'\", down: \"rtrim(cents, '!')::bigint\"}",
        old=(
            Write(
                "INSERT INTO items (id, name, price) VALUES (50, 'a', 7)",
                "SELECT cents FROM items WHERE id IN (3, 50) ORDER BY id",
                [("4!",), ("8!",)],
            ),
        ),
        new=(
            Write(
                "INSERT INTO items (id, name, cents) VALUES (51, 'a', '20!')",
                "SELECT price FROM items WHERE id = 51",
                [(19,)],
            ),
            Write("UPDATE items SET cents = '3!' WHERE id = 50", "SELECT price FROM items WHERE id = 50", [(2,)]),
        ),
        catalogue=("'cents', 'text'",),
        gone=("'price'",),
    ),
    Case(
        "alter_column twice, NULL forbidden and allowed again",
        "alter_column: {table: items, column: price, nullable: false, default: '1', up: 'coalesce(price, 0)', down: price}\n"
        "  - alter_column: {table: items, column: price, type: bigint, nullable: true, default: '5', up: price * 2, down: price / 2}",
        old=(
            Write(
                "INSERT INTO items (id, name) VALUES (50, 'a')",
                "SELECT price FROM items WHERE id IN (7, 50) ORDER BY id",
                [(14,), (0,)],
            ),
        ),
        new=(
            Write(
                "INSERT INTO items (id, name, price) VALUES (51, 'a', 8)",
                "SELECT price FROM items WHERE id = 51",
                [(4,)],
            ),
            Write("INSERT INTO items (id, name) VALUES (52, 'a')", "SELECT price FROM items WHERE id = 52", [(2,)]),
        ),
        catalogue=("'price', 'int8', None, 'YES', '5",),
        gone=("not_null",),
    ),
    Case(
        "alter_column and a constraint of it dropped",
        "alter_column: {table: items, column: price, type: bigint, up: price, down: price}\n"
        "  - drop_constraint: {table: items, name: small, up: price, down: 'least(price, 99)'}",
        setup=ITEMS + "ALTER TABLE items ADD CONSTRAINT small CHECK (price < 100);",
        old=(Write("INSERT INTO items VALUES (50, 'a', 7)", "SELECT price FROM items WHERE id = 50", [(7,)]),),
        new=(
            Write(
                "INSERT INTO items (id, name, price) VALUES (51, 'a', 500)",
                "SELECT price FROM items WHERE id = 51",
                [(99,)],
            ),
        ),
        after=(("SELECT price FROM items WHERE id = 51", [(500,)]),),
        gone=("small",),
    ),
    Case(
        "add_column and alter_column of it",
        "add_column: {table: items, column: {name: rating, type: text, default: '0'}}\n"
        "  - alter_column: {table: items, column: rating, type: int, up: CAST(rating AS integer) + 1, down: rating::text, "
        "check: {name: few, constraint: rating < 6}}\n"
        "  - add_column: {table: items, up: upper(name), column: {name: loud, type: text, nullable: true}}\n"
        "  - alter_column: {table: items, column: loud, nullable: false, up: \"coalesce(loud, '?') || '!'\", down: loud}",
        old=(
            Write(
                "INSERT INTO items (id, name) VALUES (50, 'a')",
                "SELECT rating, loud FROM items WHERE id IN (7, 50) ORDER BY id",
                [(1, "NAME 7!"), (1, "A!")],
            ),
        ),
        refused=(
            "INSERT INTO items (id, name, loud) VALUES (60, 'a', NULL)",
            "INSERT INTO items (id, name, loud, rating) VALUES (60, 'a', 'b', 6)",
        ),
        catalogue=("'rating', 'int4', None, 'NO', '0", "'loud', 'text', None, 'NO'", "few"),
    ),
    Case(
        "alter_column default",
        "alter_column: {table: items, column: status, default: \"'fresh'\", up: status, down: status}",
        old=(
            Write(
                "INSERT INTO items (id, name) VALUES (50, 'a')", "SELECT status FROM items WHERE id = 50", [("new",)]
            ),
        ),
        new=(
            Write(
                "INSERT INTO items (id, name) VALUES (51, 'a')", "SELECT status FROM items WHERE id = 51", [("fresh",)]
            ),
        ),
        catalogue=("fresh",),
    ),
    Case(
        "alter_column default null",
        "alter_column: {table: items, column: status, default: null}",
        new=(
            Write("INSERT INTO items (id, name) VALUES (51, 'a')", "SELECT status FROM items WHERE id = 51", [(None,)]),
        ),
        gone=("'new'::text",),
    ),
    Case(
        "alter_column unique",
        "alter_column: {table: items, column: name, unique: {name: items_name_u}, up: name || ' ' || id, down: name}",
        old=(
            Write(
                "INSERT INTO items (id, name) VALUES (50, 'name 1')",
                "SELECT name FROM items WHERE id = 50",
                [("name 1 50",)],
            ),
        ),
        refused=("INSERT INTO items (id, name) VALUES (60, 'name 1 50')",),
        catalogue=("'items_name_u'",),
    ),
    Case(
        "alter_column check",
        "alter_column: {table: items, column: price, check: {name: dear, constraint: price > 0}, up: 'greatest(price, 1)', down: price}",
        old=(
            Write(
                "INSERT INTO items (id, name, price) VALUES (50, 'a', -4)",
                "SELECT price FROM items WHERE id = 50",
                [(1,)],
            ),
        ),
        refused=("UPDATE items SET price = -1 WHERE id = 1",),
        catalogue=("'dear'",),
    ),
    Case(
        "alter_column references",
        "alter_column: {table: items, column: owner, references: {name: fk_o, table: owners, column: id}, up: 'CASE WHEN EXISTS (SELECT 1 FROM owners o WHERE o.id = owner) THEN owner END', down: owner}",
        setup=OWNERS + "UPDATE items SET owner = 99 WHERE id = 3;",
        old=(
            Write(
                "INSERT INTO items (id, name, owner) VALUES (50, 'a', 77)",
                "SELECT owner FROM items WHERE id = 50",
                [(None,)],
            ),
        ),
        refused=("UPDATE items SET owner = 99 WHERE id = 1",),
        catalogue=("'fk_o'",),
    ),
    Case(
        "alter_column comment",
        "alter_column: {table: items, column: name, comment: what it is called}",
        catalogue=("what it is called",),
    ),
    Case(
        "create_index",
        "create_index: {name: items_two, table: items, columns: [{column: status, sort: DESC}, {column: name}], unique: true, predicate: price > 2}",
        catalogue=("items_two",),
        refused=("INSERT INTO items (id, name, price, status) VALUES (60, 'name 9', 9, 'new')",),
    ),
    Case(
        "drop_index",
        "drop_index: {name: items_status}",
        setup=ITEMS + "CREATE INDEX items_status ON items (status);",
        gone=("items_status",),
    ),
    Case(
        "create_constraint unique over two columns",
        "create_constraint: {table: items, type: unique, name: two, columns: [name, price], up: {name: name || id, price: price}, down: {name: name, price: price}}",
        old=(
            Write(
                "INSERT INTO items (id, name, price) VALUES (50, 'name 1', 1)",
                "SELECT name FROM items WHERE id = 50",
                [("name 150",)],
            ),
        ),
        refused=("INSERT INTO items (id, name, price) VALUES (60, 'name 150', 1)",),
        catalogue=("'two'",),
    ),
    Case(
        "create_constraint check over two columns",
        "create_constraint: {table: items, type: check, name: both, check: price > 0 OR status = 'free', columns: [price, status], up: {price: 'coalesce(price, 0)', status: \"CASE WHEN coalesce(price, 0) > 0 THEN status ELSE 'free' END\"}, down: {price: price, status: status}}",
        old=(
            Write(
                "INSERT INTO items (id, name, price) VALUES (50, 'a', 0)",
                "SELECT status FROM items WHERE id = 50",
                [("free",)],
            ),
        ),
        refused=("UPDATE items SET price = 0 WHERE id = 5",),
        catalogue=("'both'",),
    ),
    Case(
        "create_constraint foreign key",
        "create_constraint: {table: items, type: foreign_key, name: fk_o, columns: [owner], references: {table: owners, columns: [id], on_delete: SET NULL}, up: {owner: 'CASE WHEN owner < 40 THEN owner END'}, down: {owner: owner}}",
        setup=OWNERS,
        old=(
            Write(
                "INSERT INTO items (id, name, owner) VALUES (50, 'a', 77)",
                "SELECT owner FROM items WHERE id = 50",
                [(None,)],
            ),
        ),
        refused=("UPDATE items SET owner = 99 WHERE id = 1",),
        catalogue=("'fk_o'", "ON DELETE SET NULL"),
    ),
    Case(
        "create_constraint primary key",
        "create_constraint: {table: bare, type: primary_key, name: bare_pk, columns: [id]}",
        setup="CREATE TABLE bare (id int, v text); INSERT INTO bare SELECT g, 'v' FROM generate_series(1, 9) g;",
        refused=("INSERT INTO bare VALUES (3, 'x')",),
        catalogue=("'bare_pk', 'PRIMARY KEY (id)'",),
    ),
    Case(
        "create_constraint exclude",
        "create_constraint: {table: bookings, type: exclude, name: no_overlap, exclude: {index_method: gist, elements: during WITH &&}}",
        setup="CREATE TABLE bookings (id int PRIMARY KEY, during int4range); INSERT INTO bookings SELECT g, int4range(g * 10, g * 10 + 5) FROM generate_series(1, 9) g;",
        old=(Write("INSERT INTO bookings VALUES (20, '[200,205)')", "SELECT count(*) FROM bookings", [(10,)]),),
        new=(Write("INSERT INTO bookings VALUES (21, '[300,305)')", "SELECT count(*) FROM bookings", [(11,)]),),
        refused=("INSERT INTO bookings VALUES (22, '[204,206)')",),
        catalogue=("'no_overlap'", "'bookings_pkey'"),
    ),
    Case(
        "drop_constraint check",
        "drop_constraint: {table: items, name: dear, up: price, down: 'least(price, 999)'}",
        setup=ITEMS + "ALTER TABLE items ADD CONSTRAINT dear CHECK (price < 1000);",
        new=(
            Write(
                "INSERT INTO items (id, name, price) VALUES (50, 'a', 5000)",
                "SELECT price FROM items WHERE id = 50",
                [(999,)],
            ),
        ),
        after=(("SELECT price FROM items WHERE id = 50", [(5000,)]),),
        gone=("'dear'",),
    ),
    Case(
        "drop_multicolumn_constraint",
        "drop_multicolumn_constraint: {table: items, name: two, up: {name: name, price: price}, down: {name: name || '-' || id, price: price}}",
        setup=ITEMS + "ALTER TABLE items ADD CONSTRAINT two UNIQUE (name, price);",
        new=(
            Write(
                "INSERT INTO items (id, name, price) VALUES (50, 'name 1', 1)",
                "SELECT name FROM items WHERE id = 50",
                [("name 1-50",)],
            ),
        ),
        gone=("'two'",),
    ),
    Case(
        "rename_constraint",
        "rename_constraint: {table: items, from: dear, to: costly}",
        setup=ITEMS + "ALTER TABLE items ADD CONSTRAINT dear CHECK (price < 1000);",
        catalogue=("'costly'",),
        gone=("'dear'",),
    ),
    Case(
        "set_replica_identity",
        "set_replica_identity: {table: items, identity: {type: full}}",
        catalogue=("'items', 'f'",),
    ),
    Case(
        "sql with up and down",
        "sql: {up: CREATE TABLE extra (id int primary key), down: DROP TABLE extra}",
        new=(Write("INSERT INTO extra VALUES (1)", "SELECT 1", [(1,)]),),
        after=(("SELECT * FROM extra", [(1,)]),),
    ),
    Case(
        "sql on complete",
        "sql: {up: ALTER TABLE items ADD late int DEFAULT 3, onComplete: true}",
        after=(("SELECT late FROM items LIMIT 1", [(3,)]),),
    ),
    Case(
        "create_enum and a column of it",
        "create_enum: {name: mood, values: [sad, ok]}\n  - alter_column: {table: items, column: status, type: mood, default: null, up: \"CASE status WHEN 'new' THEN 'ok' ELSE 'sad' END::mood\", down: \"CASE status WHEN 'ok' THEN 'new' ELSE 'old' END\"}",
        old=(
            Write(
                "INSERT INTO items (id, name, status) VALUES (50, 'a', 'old')",
                "SELECT status::text FROM items WHERE id = 50",
                [("sad",)],
            ),
        ),
        new=(
            Write("UPDATE items SET status = 'ok' WHERE id = 50", "SELECT status FROM items WHERE id = 50", [("new",)]),
        ),
        refused=("UPDATE items SET status = 'angry' WHERE id = 1",),
        catalogue=("'enum', 'mood'",),
    ),
    Case(
        "drop_enum",
        "alter_column: {table: people, column: m, type: text, up: m::text, down: m::mood}\n  - drop_enum: {name: mood}",
        setup="CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE people (id int PRIMARY KEY, m mood); INSERT INTO people VALUES (1, 'ok');",
        old=(Write("INSERT INTO people VALUES (2, 'sad')", "SELECT m FROM people WHERE id = 2", [("sad",)]),),
        gone=("'enum'",),
    ),
    Case(
        "add_enum_value",
        "add_enum_value: {name: mood, value: great, after: ok}",
        rolls_back=False,
        setup="CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE people (id int PRIMARY KEY, m mood); INSERT INTO people VALUES (1, 'ok');",
        new=(Write("INSERT INTO people VALUES (2, 'great')", "SELECT m::text FROM people WHERE id = 2", [("great",)]),),
        catalogue=("great",),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_an_operation_goes_up_back_up_and_through(case: Case, changing: Callable[[str, str], Any]) -> None:
    change = changing(case.setup, f"operations:\n  - {case.text}\n")
    if case.minimum and int(change.rows(change.url, "SHOW server_version_num")[0][0]) < case.minimum * 10_000:
        pytest.skip(f"PostgreSQL {case.minimum} and newer")
    await change.begin()
    before = change.catalogue()
    await change.up_to_code()
    await change.back()
    if case.rolls_back:
        assert change.catalogue() == before
    await change.up_to_code()
    for write in case.old:
        change.rows(change.old_url, write.sql)
        assert change.rows(change.new_url, write.read) == write.expected, write.sql
    for write in case.new:
        change.rows(change.new_url, write.sql)
        assert change.rows(change.old_url, write.read) == write.expected, write.sql
    for sql in case.refused:
        with pytest.raises(Exception, match=r"violate|does not exist|out of range|invalid input|conflicting"):
            change.rows(change.new_url, sql)
    await change.verify()
    await change.contract()
    for sql, expected in case.after:
        assert change.rows(change.new_url, sql) == expected
    told = repr(change.catalogue())
    assert "_hitless" not in told
    assert "zzz" not in told
    for text in case.catalogue:
        assert text in told
    for text in case.gone:
        assert text not in told
