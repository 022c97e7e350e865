"""A table gets another shape: rows one for one, one for several, several for one; both versions write."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest
from tests.live.database.conftest import MERGE, MOMENT, SPLIT

from hitless.database.driver import rolled_so_far
from hitless.kit.errors import Refused
from hitless.plan.ports import StepFailed

pytestmark = pytest.mark.live

ORDERS = """
CREATE TABLE customers (id int PRIMARY KEY);
INSERT INTO customers SELECT generate_series(1, 9);
CREATE TABLE orders (id serial PRIMARY KEY, customer int NOT NULL REFERENCES customers ON DELETE CASCADE, total int NOT NULL,
  address text, note text);
INSERT INTO orders (customer, total, address, note) SELECT 1 + g % 9, g * 100, 'Street ' || g || ', Town', NULL FROM generate_series(1, 500) g;
CREATE TABLE lines (id serial PRIMARY KEY, orders_id int NOT NULL REFERENCES orders ON DELETE CASCADE, what text);
INSERT INTO lines (orders_id, what) SELECT 1 + g % 500, 'thing' FROM generate_series(1, 1000) g;
CREATE TABLE seen (what text);
CREATE FUNCTION note_it() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO public.seen VALUES (TG_OP || NEW.id); RETURN NULL; END$$;
CREATE TRIGGER noted AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION note_it();
"""
RETYPED = """
operations:
  - shadow_table:
      table: orders
      columns:
        - {name: id, type: bigint, pk: true}
        - {name: customer, type: int, references: {name: orders_customer, table: customers, column: id, on_delete: CASCADE}}
        - {name: cents, type: bigint}
        - {name: street, type: text, nullable: true}
        - {name: town, type: text, nullable: true}
        - {name: note, type: text, nullable: true}
      up: {cents: total * 100, street: "split_part(address, ', ', 1)", town: "split_part(address, ', ', 2)"}
      down: {total: (cents / 100)::int, address: "street || ', ' || town"}
"""
TAGGED = """
CREATE TABLE articles (id int PRIMARY KEY, title text NOT NULL, tags text NOT NULL);
INSERT INTO articles SELECT g, 'title ' || g, 'a,b' || g || ',c' FROM generate_series(1, 60) g;
"""
LINES = """
CREATE TABLE stock (id int PRIMARY KEY, product text NOT NULL, amount int NOT NULL);
CREATE INDEX stock_product ON stock (product);
INSERT INTO stock SELECT g, 'p' || g % 20, g FROM generate_series(1, 100) g;
"""


async def test_a_key_gets_a_wider_type_and_an_address_is_split_while_both_versions_write(
    changing: Callable[[str, str], Any],
) -> None:
    change = changing(ORDERS, RETYPED)
    await change.there_and_back()
    old, new = change.old_url, change.new_url
    assert change.rows(new, "SELECT cents, street, town FROM orders WHERE id = 7") == [(70_000, "Street 7", "Town")]
    change.rows(old, "INSERT INTO orders (customer, total, address) VALUES (3, 5, 'X 1, Ulm')")
    assert change.rows(new, "SELECT id, customer, cents, street FROM orders WHERE town = 'Ulm'") == [
        (501, 3, 500, "X 1")
    ]
    made = change.rows(
        new, "INSERT INTO orders (customer, cents, street, town) VALUES (4, 1234, 'Y, 2', 'Bonn') RETURNING id"
    )
    assert made == [(502,)]  # one sequence for both
    assert change.rows(old, "SELECT total, address FROM orders WHERE id = 502") == [(12, "Y, 2, Bonn")]
    change.rows(old, "UPDATE orders SET note = 'hi' WHERE id = 502")  # leaves alone what it does not concern
    assert change.rows(new, "SELECT cents, street, note FROM orders WHERE id = 502") == [(1234, "Y, 2", "hi")]
    change.rows(old, "UPDATE orders SET address = NULL, id = 600 WHERE id = 501")
    assert change.rows(new, "SELECT street, town FROM orders WHERE id = 600") == [(None, None)]
    change.rows(new, "INSERT INTO lines (orders_id, what) VALUES (502, 'x')")
    change.rows(new, "DELETE FROM orders WHERE id = 502")
    assert change.rows(old, "SELECT count(*) FROM lines WHERE orders_id = 502") == [(0,)]
    change.rows(old, "DELETE FROM customers WHERE id = 9")
    assert change.rows(new, "SELECT count(*) FROM orders WHERE customer = 9") == [(0,)]
    change.rows(change.url, "COPY orders (id, customer, total, address) FROM PROGRAM 'echo 700,1,1,none' (FORMAT csv)")
    assert change.rows(new, "SELECT cents FROM orders WHERE id = 700") == [(100,)]
    upsert = "INSERT INTO orders (id, customer, cents) VALUES (700, 2, 300) ON CONFLICT (id) DO UPDATE SET cents = excluded.cents RETURNING customer"
    assert change.rows(new, upsert) == [(1,)]
    assert change.rows(old, "SELECT total, customer FROM orders WHERE id = 700") == [(3, 1)]
    await change.verify()
    await change.contract()
    told = repr(change.catalogue())
    assert "_hitless" not in told
    for text in (
        "'public.orders', 'id', 'int8'",
        "orders_id_seq",
        "'orders_pkey'",
        "orders_customer",
        "noted",
        "lines_orders_id_fkey",
    ):
        assert text in told, text
    assert change.rows(new, "INSERT INTO orders (customer, cents) VALUES (1, 1) RETURNING id") == [(503,)]
    assert change.rows(change.url, "SELECT count(*) FROM seen WHERE what = 'INSERT503'") == [(1,)]


SHOUTING = """
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.note := upper(NEW.note); RETURN NEW; END$$;
CREATE TRIGGER shouted BEFORE INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION shout();
"""


async def test_what_the_users_own_trigger_makes_of_a_row_of_the_new_version_is_on_both_sides(
    changing: Callable[[str, str], Any],
) -> None:
    change = changing(ORDERS + SHOUTING, RETYPED)
    await change.begin()
    await change.up_to_code()
    old, new = change.old_url, change.new_url
    change.rows(new, "INSERT INTO orders (customer, cents, street, town, note) VALUES (4, 1234, 'Y, 2', 'Bonn', 'hi')")
    change.rows(new, "UPDATE orders SET note = 'more', cents = 77 WHERE id = 7")
    change.rows(old, "UPDATE orders SET note = 'less' WHERE id = 8")
    assert change.rows(old, "SELECT id, total, note FROM orders WHERE note IS NOT NULL ORDER BY id") == [
        (7, 0, "MORE"),
        (8, 800, "LESS"),
        (501, 12, "HI"),
    ]
    assert change.rows(new, "SELECT id, cents, street, note FROM orders WHERE note IS NOT NULL ORDER BY id") == [
        (7, 77, "Street 7", "MORE"),  # and what the trigger left alone is as the new version wrote it
        (8, 80_000, "Street 8", "LESS"),
        (501, 1234, "Y, 2", "HI"),
    ]
    await change.verify()
    await change.back()
    await change.up_to_code()
    await change.contract()
    change.rows(new, "UPDATE orders SET note = 'last' WHERE id = 7")
    assert change.rows(new, "SELECT note FROM orders WHERE id = 7") == [("LAST",)]


@pytest.mark.parametrize("kind", ["ALWAYS", "BY DEFAULT"])
async def test_both_versions_change_rows_whose_key_is_an_identity_column(
    changing: Callable[[str, str], Any], kind: str
) -> None:
    change = changing(
        ORDERS.replace("id serial", f"id bigint GENERATED {kind} AS IDENTITY", 2).replace(
            f"lines (id bigint GENERATED {kind} AS IDENTITY", "lines (id serial"
        ),
        RETYPED,
    )
    await change.begin()
    before = change.catalogue()
    await change.up_to_code()
    old, new = change.old_url, change.new_url
    change.rows(new, "UPDATE orders SET street = 'Y', cents = 300 WHERE id = 7")
    assert change.rows(old, "SELECT total, address FROM orders WHERE id = 7") == [(3, "Y, Town")]
    change.rows(old, "UPDATE orders SET total = 4 WHERE id = 7")
    upsert = "INSERT INTO orders (id, customer, cents) VALUES (7, 2, 300) ON CONFLICT (id) DO UPDATE SET cents = orders.cents + excluded.cents RETURNING cents"
    assert change.rows(new, upsert) == [(700,)]
    assert change.rows(old, "SELECT total FROM orders WHERE id = 7") == [(7,)]
    await change.verify()
    await change.back()
    assert change.catalogue() == before
    await change.up_to_code()
    await change.contract()
    change.rows(new, "UPDATE orders SET cents = 5 WHERE id = 7")
    assert change.rows(new, "INSERT INTO orders (customer, cents) VALUES (1, 1) RETURNING id") == [(501,)]


async def test_one_row_becomes_several(changing: Callable[[str, str], Any]) -> None:
    change = changing(TAGGED, SPLIT)
    await change.there_and_back()
    old, new = change.old_url, change.new_url
    assert change.rows(new, "SELECT tag FROM articles WHERE article = 5 ORDER BY place") == [("a",), ("b5",), ("c",)]
    change.rows(old, "UPDATE articles SET tags = 'x,y' WHERE id = 5")
    assert change.rows(new, "SELECT place, tag FROM articles WHERE article = 5 ORDER BY place") == [(1, "x"), (2, "y")]
    change.rows(new, "INSERT INTO articles VALUES (5, 3, 'title 5', 'z')")
    assert change.rows(old, "SELECT tags FROM articles WHERE id = 5") == [("x,y,z",)]
    change.rows(new, "INSERT INTO articles VALUES (100, 1, 'new', 'p'), (100, 2, 'new', 'q')")
    assert change.rows(old, "SELECT title, tags FROM articles WHERE id = 100") == [("new", "p,q")]
    change.rows(new, "DELETE FROM articles WHERE article = 100 AND place = 1")
    assert change.rows(old, "SELECT tags FROM articles WHERE id = 100") == [("q",)]
    change.rows(new, "DELETE FROM articles WHERE article = 100")
    assert change.rows(old, "SELECT count(*) FROM articles WHERE id = 100") == [(0,)]
    change.rows(old, "DELETE FROM articles WHERE id = 6")
    assert change.rows(new, "SELECT count(*) FROM articles WHERE article = 6") == [(0,)]
    change.rows(change.url, "TRUNCATE articles")
    assert change.rows(new, "SELECT count(*) FROM articles") == [(0,)]
    change.rows(old, "INSERT INTO articles VALUES (1, 't', 'a,b')")
    await change.verify()
    await change.contract()
    assert change.rows(new, "SELECT * FROM articles ORDER BY 2") == [(1, 1, "t", "a"), (1, 2, "t", "b")]
    assert "_hitless" not in repr(change.catalogue())


async def test_several_rows_become_one(changing: Callable[[str, str], Any]) -> None:
    change = changing(LINES, MERGE)
    await change.begin()
    await change.up_to_code()
    old, new = change.old_url, change.new_url
    assert change.rows(new, "SELECT ids FROM stock WHERE product = 'p3'") == [([3, 23, 43, 63, 83],)]
    change.rows(old, "UPDATE stock SET amount = 0 WHERE id = 3")
    change.rows(old, "INSERT INTO stock VALUES (200, 'p3', 7), (201, 'other', 8)")
    assert change.rows(new, "SELECT amounts FROM stock WHERE product = 'p3'") == [([0, 23, 43, 63, 83, 7],)]
    change.rows(old, "UPDATE stock SET product = 'p3' WHERE id = 201")
    assert change.rows(new, "SELECT count(*) FROM stock WHERE product = 'other'") == [(0,)]
    change.rows(new, "UPDATE stock SET ids = '{3,300}', amounts = '{5,6}' WHERE product = 'p3'")
    assert change.rows(old, "SELECT id, amount FROM stock WHERE product = 'p3' ORDER BY 1") == [(3, 5), (300, 6)]
    change.rows(new, "DELETE FROM stock WHERE product = 'p4'")
    assert change.rows(old, "SELECT count(*) FROM stock WHERE product = 'p4'") == [(0,)]
    await change.verify()
    await change.contract()
    assert change.rows(new, "SELECT ids FROM stock WHERE product = 'p3'") == [([3, 300],)]


async def test_a_table_is_partitioned_anew(changing: Callable[[str, str], Any]) -> None:
    text = """
operations:
  - shadow_table:
      table: stock
      columns: [{name: id, type: int, pk: true}, {name: product, type: text}, {name: amount, type: int}]
      partition_by: RANGE (id)
      partitions: {stock_low: FOR VALUES FROM (MINVALUE) TO (50), stock_high: FOR VALUES FROM (50) TO (MAXVALUE)}
"""
    change = changing(LINES, text)
    await change.begin()
    await change.up_to_code()
    change.rows(change.old_url, "UPDATE stock SET id = 500 WHERE id = 1")
    change.rows(change.new_url, "UPDATE stock SET amount = 9 WHERE id = 500")
    assert change.rows(change.old_url, "SELECT amount FROM stock WHERE id = 500") == [(9,)]
    await change.contract()
    assert change.rows(change.url, "SELECT count(*) FROM stock_high") == [(52,)]


EVENTS = """
CREATE TABLE events (id serial PRIMARY KEY, day date NOT NULL, note text);
INSERT INTO events (day, note) SELECT date '2026-01-01' + g % 300, 'n' || g FROM generate_series(1, 400) g;
"""
BY_DAY = """
operations:
  - shadow_table:
      table: events
      columns: [{name: id, type: bigint, pk: true}, {name: day, type: date, pk: true}, {name: note, type: text, nullable: true}]
      partition_by: RANGE (day)
      partitions: {events_a: FOR VALUES FROM (MINVALUE) TO ('2026-05-01'), events_b: FOR VALUES FROM ('2026-05-01') TO (MAXVALUE)}
"""


async def test_a_table_is_partitioned_by_a_column_that_was_no_part_of_its_key(
    changing: Callable[[str, str], Any],
) -> None:
    change = changing(EVENTS, BY_DAY)
    await change.there_and_back()
    old, new = change.old_url, change.new_url
    change.rows(old, "UPDATE events SET day = '2026-09-09', note = 'moved' WHERE id = 1")
    assert change.rows(new, "SELECT day::text, note FROM events WHERE id = 1") == [("2026-09-09", "moved")]
    change.rows(new, "UPDATE events SET day = '2026-01-02' WHERE id = 1")
    change.rows(new, "UPDATE events SET id = 900 WHERE id = 2")
    assert change.rows(old, "SELECT id, day::text FROM events WHERE id IN (1, 2, 900) ORDER BY 1") == [
        (1, "2026-01-02"),
        (900, "2026-01-03"),
    ]
    assert change.rows(new, "INSERT INTO events (day) VALUES ('2026-02-02') RETURNING id") == [(401,)]
    change.rows(old, "DELETE FROM events WHERE id = 401")
    change.rows(old, "INSERT INTO events VALUES (3, '2026-12-01') ON CONFLICT (id) DO UPDATE SET day = excluded.day")
    change.rows(new, "UPDATE events SET note = NULL WHERE id = 4")
    for write in ("INSERT INTO events VALUES (5, '2026-11-11')", "UPDATE events SET id = 5 WHERE id = 6"):
        with pytest.raises(psycopg.errors.UniqueViolation):  # the old version has one row of each key
            change.rows(new, write)
    await change.verify()
    assert change.rows(new, "SELECT count(*), count(DISTINCT id) FROM events") == [(400, 400)]
    await change.contract()
    assert change.rows(
        change.url, "SELECT relname FROM pg_class WHERE oid = (SELECT tableoid FROM events WHERE id = 3)"
    ) == [("events_b",)]


async def test_rows_that_move_between_partitions_while_they_are_copied_are_there_once(
    changing: Callable[[str, str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hitless.database.filling.BATCH_MAX", 40)
    monkeypatch.setattr("hitless.database.filling.BATCH_FIRST", 40)
    change = changing(EVENTS, BY_DAY)
    await change.begin()
    await change.driver.do(change.steps.before[0], MOMENT)
    moved, over = 0, threading.Event()

    def move() -> None:
        nonlocal moved
        with psycopg.connect(change.old_url, autocommit=True) as writer:
            while not over.is_set() or moved < 200:
                writer.execute(
                    "UPDATE events SET day = day + 150 - 300 * (random() > 0.5)::int WHERE id = %s", (moved % 400 + 1,)
                )
                moved += 1

    writing = asyncio.get_running_loop().run_in_executor(None, move)
    for step in change.steps.before[1:]:
        await change.driver.do(step, MOMENT)
    over.set()
    await writing
    await change.verify()
    assert change.rows(change.new_url, "SELECT count(*), count(DISTINCT id) FROM events") == [(400, 400)]


KEYED = "CREATE TABLE t (id {kind} PRIMARY KEY, note text); INSERT INTO t SELECT {id}, 'n' || g FROM generate_series(1, 300) g;"
RETYPED_KEY = """
operations:
  - shadow_table:
      table: t
      columns: [{name: id, type: KIND, pk: true}, {name: note, type: text, nullable: true}]
      up: {id: "UP"}
      down: {id: "DOWN"}
"""


@pytest.mark.parametrize(
    ("kinds", "value", "up", "down", "keys"),
    [
        (("bigint", "text"), "g", "id::text", "id::bigint", ((7, "7"), (1001, "1001"), (1002, "1002"), (1003, "1003"))),
        (("text", "bigint"), "g", "id::bigint", "id::text", (("7", 7), ("1001", 1001), ("1002", 1002), ("1003", 1003))),
        (
            ("int", "uuid"),
            "g",
            "lpad(to_hex(id), 32, '0')::uuid",
            "('x' || right(id::text, 8))::bit(32)::int",
            tuple((number, UUID(int=number)) for number in (7, 1001, 1002, 1003)),
        ),
    ],
    ids=["bigint to text", "text to bigint", "int to uuid"],
)
async def test_a_key_gets_a_type_of_another_kind(
    kinds: tuple[str, str], value: str, up: str, down: str, keys: Any, changing: Callable[[str, str], Any]
) -> None:
    text = RETYPED_KEY.replace("KIND", kinds[1]).replace("UP", up).replace("DOWN", down)
    change = changing(KEYED.format(kind=kinds[0], id=value), text)
    await change.there_and_back()
    (seven, new_seven), (first, new_first), (second, new_second), (third, new_third) = keys
    with (
        psycopg.connect(change.old_url, autocommit=True) as old,
        psycopg.connect(change.new_url, autocommit=True) as new,
    ):
        assert new.execute("SELECT note FROM t WHERE id = %s", (new_seven,)).fetchall() == [("n7",)]
        assert "_hitless" not in str(new.execute("SELECT * FROM t LIMIT 0").description)
        old.execute("UPDATE t SET note = 'old' WHERE id = %s", (seven,))
        assert new.execute("SELECT note FROM t WHERE id = %s", (new_seven,)).fetchall() == [("old",)]
        new.execute("UPDATE t SET id = %s WHERE id = %s", (new_first, new_seven))
        assert old.execute("SELECT note FROM t WHERE id = %s", (first,)).fetchall() == [("old",)]
        new.execute("INSERT INTO t VALUES (%s, 'new')", (new_second,))
        old.execute("UPDATE t SET id = %s, note = 'both' WHERE id = %s", (third, second))
        upsert = "INSERT INTO t VALUES (%s, 'x') ON CONFLICT (id) DO UPDATE SET note = t.note || '!' RETURNING note"
        assert new.execute(upsert, (new_third,)).fetchall() == [("both!",)]
        new.execute("DELETE FROM t WHERE id = %s", (new_first,))
        assert old.execute("SELECT id, note FROM t WHERE length(id::text) > 3").fetchall() == [(third, "both!")]
    await change.contract()
    after = change.rows(
        change.url, "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'"
    )
    assert after == [("id", kinds[1]), ("note", "text")]
    assert change.rows(change.url, "SELECT count(*) FROM t") == [(300,)]


async def test_a_text_key_takes_over_the_count_of_a_serial_and_refuses_what_was_no_number(
    changing: Callable[[str, str], Any],
) -> None:
    text = RETYPED_KEY.replace("KIND", "text").replace("UP", "id::text").replace("DOWN", "id::int")
    change = changing(
        "CREATE TABLE t (id serial PRIMARY KEY, note text); INSERT INTO t (note) VALUES ('a'), ('b');", text
    )
    await change.begin()
    await change.up_to_code()
    assert change.rows(change.new_url, "INSERT INTO t (note) VALUES ('c') RETURNING id") == [("3",)]
    assert change.rows(change.old_url, "INSERT INTO t (note) VALUES ('d') RETURNING id") == [(4,)]
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        change.rows(change.new_url, "INSERT INTO t VALUES ('e', 'e')")
    change.rows(change.new_url, "UPDATE t SET id = '007' WHERE id = '1'")
    change.rows(change.old_url, "UPDATE t SET note = 'still' WHERE id = 7")
    assert change.rows(change.new_url, "SELECT note FROM t WHERE id = '007'") == [("still",)]
    await change.contract()
    assert change.rows(change.url, "INSERT INTO t (note) VALUES ('f') RETURNING id") == [("5",)]
    assert change.rows(change.url, "INSERT INTO t VALUES ('e', 'e') RETURNING id") == [("e",)]


async def test_a_difference_is_found_by_hash_and_named_with_both_values(changing: Callable[[str, str], Any]) -> None:
    change = changing(ORDERS, RETYPED)
    await change.begin()
    await change.up_to_code()
    with psycopg.connect(change.url) as secretly:
        secretly.execute("SET hitless.sync = 'off'")
        secretly.execute("UPDATE _hitless_orders SET cents = 1 WHERE id = 77")
        secretly.execute("DELETE FROM _hitless_orders WHERE id = 78")
    with pytest.raises(StepFailed, match="differ, at least at key 77, 78"):
        await change.verify()
    listed = (await rolled_so_far(change.url, "0002_change")).differing.listed
    assert (("77",), "cents is '1', should be '770000'") in [(each.key, each.said) for each in listed]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (
            "{table: orders, columns: [{name: number, type: uuid, pk: true}], up: {number: gen_random_uuid()}}",
            "down-missing",
        ),
        (
            "{table: orders, columns: [{name: id, type: int, pk: true}, {name: x, type: int}], down: {total: id, customer: id}}",
            "up-missing",
        ),
        ("{table: orders, columns: [{name: id, type: int}], down: {total: id, customer: id}}", "no-key"),
        (
            "{table: orders, rows: many, columns: [{name: id, type: int, pk: true}], down: {total: id, customer: id}}",
            "rows-many",
        ),
        (
            "{table: orders, columns: [{name: number, type: int, pk: true}], up: {number: id}, down: {total: number, customer: number}}",
            "link-missing",
        ),
        *(
            (
                f"{{table: lines, columns: [{{name: id, type: {kind}, pk: true}}, {{name: orders_id, type: int}}]{more}}}",
                "link-missing",
            )
            for kind in ("text", "uuid", "varchar(9)")
            for more in ("", ", up: {id: id::text}", ", down: {id: id::text::int}")
        ),
        (
            "{table: orders, columns: [{name: id, type: text, pk: true}], up: {id: id::text}, down: {id: id::int, total: '1', customer: '1'}}",
            "depends",
        ),
        (
            "{table: orders, columns: [{name: id, type: int, pk: true}], up: {idd: id}, down: {total: id, customer: id}}",
            "no-such-column",
        ),
    ],
)
async def test_a_shape_that_rows_could_not_follow_is_refused(
    text: str, code: str, changing: Callable[[str, str], Any]
) -> None:
    change = changing(ORDERS, f"operations: [{{shadow_table: {text}}}]")
    await change.begin()
    with pytest.raises(Refused) as refusal:
        await change.up_to_code()
    assert refusal.value.code == code


async def test_one_change_gives_several_tables_another_shape(changing: Callable[[str, str], Any]) -> None:
    change = changing(
        TAGGED + LINES + "CREATE FUNCTION n() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;"
        "CREATE TRIGGER on_articles AFTER INSERT ON articles EXECUTE FUNCTION n();"
        "CREATE TRIGGER on_stock AFTER INSERT ON stock EXECUTE FUNCTION n();",
        SPLIT + MERGE.replace("\noperations:\n", ""),
    )
    await change.begin()
    await change.up_to_code()
    new = change.rows(change.new_url, "SELECT article, place, tag FROM articles ORDER BY 1, 2")
    await change.contract()
    assert change.rows(change.new_url, "SELECT article, place, tag FROM articles ORDER BY 1, 2") == new
    kept = change.rows(change.url, "SELECT tgrelid::regclass::text, tgname::text FROM pg_trigger ORDER BY 1, 2")
    assert kept == [("articles", "on_articles"), ("stock", "on_stock")]


async def test_old_rows_whose_key_no_mapping_says_are_made_anew_and_never_left_behind(
    changing: Callable[[str, str], Any],
) -> None:
    merge = """
operations:
  - shadow_table:
      table: lines
      rows: many
      merge_on: [art]
      split_by: string_to_table(tags, ',')
      columns: [{name: art, type: int, pk: true}, {name: tags, type: text}]
      up: {tags: "string_agg(tag, ',' ORDER BY place, id)"}
      down: {art: art, place: place, tag: part}
"""
    lines = """CREATE TABLE lines (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, art int NOT NULL, place int NOT NULL, tag text NOT NULL);
INSERT INTO lines (art, place, tag) SELECT 1 + g / 3, 1 + g % 3, 't' || g FROM generate_series(0, 29) g;"""
    change = changing(lines, merge)
    await change.begin()
    await change.up_to_code()
    old, new = change.old_url, change.new_url
    change.rows(new, "UPDATE lines SET tags = 'p,q' WHERE art = 2")
    assert change.rows(old, "SELECT place, tag FROM lines WHERE art = 2 ORDER BY 1") == [(1, "p"), (2, "q")]
    change.rows(old, "UPDATE lines SET tag = 'r' WHERE art = 2 AND place = 1")
    assert change.rows(new, "SELECT tags FROM lines WHERE art = 2") == [("r,q",)]
    await change.verify()
    await change.contract()


async def test_new_rows_that_cannot_be_told_apart_are_refused_beforehand(changing: Callable[[str, str], Any]) -> None:
    unsaid = SPLIT.replace("{name: place, type: int, pk: true}", "{name: n, type: int, pk: true, default: '1'}")
    change = changing(TAGGED, unsaid.replace("place: place, ", "").replace("ORDER BY place", "ORDER BY n"))
    await change.begin()
    with pytest.raises(Refused, match="does not say the key column 'n'"):
        await change.up_to_code()
