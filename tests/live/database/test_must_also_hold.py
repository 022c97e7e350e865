"""What tables in the world have: odd keys and names, partitions, triggers, roles, other schemas, foreign keys."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from hitless.database.driver import DatabaseDriver, drift, sessions
from hitless.database.pooler import drop_role, make_role, may_make_roles, pooled_url
from hitless.kit.errors import HitlessError, Refused
from hitless.plan.ports import Moment, StepFailed

pytestmark = pytest.mark.live
Make = Callable[[str, str], Any]


async def note(_: dict[str, object]) -> None:
    """Progress."""


MOMENT = Moment(run="r1", position=0, started_at=0.0, note=note)
LOUD = "operations:\n  - add_column: {table: %s, up: upper(name), column: {name: loud, type: text}}\n"
SHADOW_OF_CARS = """
  - shadow_table:
      table: cars
      columns: [{name: id, type: bigint, pk: true}, {name: owner, type: int, nullable: true, references: {name: by, table: people, column: id}}]
"""
PEOPLE = (
    "CREATE TABLE people (id int PRIMARY KEY, name text NOT NULL); INSERT INTO people VALUES (1, 'ada'), (2, 'bob');"
)


@pytest.mark.parametrize(
    ("columns", "values"),
    [
        (
            "id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text",
            "(name) SELECT 'n' || g FROM generate_series(1, 300) g",
        ),
        ("id text PRIMARY KEY, name text", "SELECT 'k''ey \"' || g || E' \\\\', 'n' FROM generate_series(1, 300) g"),
        (
            "a int, b text, c timestamptz, name text, PRIMARY KEY (b, a, c)",
            "SELECT g % 7, 'x' || g % 3, now() + g * interval '1 s', 'n' FROM generate_series(1, 300) g",
        ),
        ("id numeric(10, 2) PRIMARY KEY, name text", "SELECT g / 100.0, 'n' FROM generate_series(-150, 150) g"),
        ("id bytea PRIMARY KEY, name text", "SELECT decode(md5(g::text), 'hex'), 'n' FROM generate_series(1, 300) g"),
        ("id char(8) PRIMARY KEY, name text", "SELECT 'c' || g, 'n' FROM generate_series(1, 300) g"),
    ],
    ids=["uuid", "text", "composite", "numeric", "bytea", "char"],
)
async def test_any_key_is_walked_in_batches(
    columns: str, values: str, changing: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hitless.database.filling.BATCH_MAX", 50)
    monkeypatch.setattr("hitless.database.filling.BATCH_FIRST", 50)
    monkeypatch.setattr("hitless.database.verifying.RANGE_ROWS", 70)
    change = changing(f"CREATE TABLE t ({columns}); INSERT INTO t {values};", LOUD % "t")
    await change.begin()
    await change.up_to_code()
    assert change.rows(change.new_url, "SELECT count(*) FROM t WHERE loud = upper(name)")[0][0] >= 300
    await change.contract()


async def test_a_table_without_a_key_is_refused_with_a_way_out(changing: Make) -> None:
    change = changing("CREATE TABLE t (name text); INSERT INTO t VALUES ('a');", LOUD % "t")
    await change.begin()
    with pytest.raises(HitlessError, match="no primary key") as failure:
        await change.up_to_code()
    assert failure.value.code == "no-key"
    assert "primary" in failure.value.hint


async def test_quoted_and_very_long_names(changing: Make) -> None:
    table, column = 'Ta"ble ' + "x" * 56, 'Co"l, umn ' + "ü" * 26
    quoted = {each: '"' + each.replace('"', '""') + '"' for each in (table, column)}
    text = (
        "operations:\n  - alter_column:\n"
        f"      table: '{table}'\n      column: '{column}'\n      type: bigint\n"
        f"      up: '{quoted[column]}::bigint + 1'\n      down: '({quoted[column]} - 1)::int'\n      nullable: false\n"
    )
    setup = f"CREATE TABLE {quoted[table]} (id int PRIMARY KEY, {quoted[column]} int NOT NULL CHECK ({quoted[column]} > 0)); INSERT INTO {quoted[table]} VALUES (1, 5); CREATE UNIQUE INDEX ON {quoted[table]} ({quoted[column]});"
    change = changing(setup, text)
    await change.there_and_back()
    change.rows(change.new_url, f"UPDATE {quoted[table]} SET {quoted[column]} = 9")
    assert change.rows(change.old_url, f"SELECT {quoted[column]} FROM {quoted[table]}") == [(8,)]
    await change.contract()
    assert change.rows(change.new_url, f"SELECT {quoted[column]} FROM {quoted[table]}") == [(9,)]


async def test_partitioned_tables(changing: Make) -> None:
    setup = """
    CREATE TABLE t (id int, at date, name text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
    CREATE TABLE t_2025 PARTITION OF t FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
    CREATE TABLE t_2026 PARTITION OF t FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    INSERT INTO t SELECT g, date '2025-06-01' + g * 2, 'n' || g FROM generate_series(1, 200) g;
    """
    text = LOUD % "t" + "  - create_index: {name: t_loud, table: t, columns: [{column: loud}]}\n"
    change = changing(setup, text)
    await change.there_and_back()
    change.rows(change.old_url, "UPDATE t SET at = at + 365, name = 'moved' WHERE id = 1")
    assert change.rows(change.new_url, "SELECT loud FROM t WHERE id = 1") == [("MOVED",)]
    await change.contract()
    assert change.rows(change.url, "SELECT indisvalid FROM pg_index WHERE indexrelid = 't_loud'::regclass") == [(True,)]


async def test_the_users_own_triggers_see_the_old_columns_and_are_followed(changing: Make) -> None:
    setup = (
        PEOPLE
        + """
    ALTER TABLE people ADD initial text;
    CREATE FUNCTION tidy() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.name := initcap(NEW.name); NEW.initial := left(NEW.name, 1); RETURN NEW; END$$;
    CREATE TRIGGER tidy BEFORE INSERT OR UPDATE ON people FOR EACH ROW EXECUTE FUNCTION tidy();
    """
    )
    text = "operations:\n  - alter_column: {table: people, column: name, type: varchar(40), up: \"name || '!'\", down: \"rtrim(name, '!')\"}\n"
    change = changing(setup, text)
    await change.begin()
    await change.up_to_code()
    change.rows(change.old_url, "INSERT INTO people VALUES (3, 'eve')")
    assert change.rows(change.new_url, "SELECT name, initial FROM people WHERE id = 3") == [("Eve!", "E")]
    change.rows(change.new_url, "INSERT INTO people (id, name) VALUES (4, 'zoe!')")
    assert change.rows(change.old_url, "SELECT name, initial FROM people WHERE id = 4") == [("Zoe", "Z")]
    assert change.rows(change.new_url, "SELECT name FROM people WHERE id = 4") == [("Zoe!",)]
    await change.verify()


async def test_other_schemas_with_two_changes_at_once_in_one_database(changing: Make) -> None:
    change = changing(
        "CREATE SCHEMA sales; CREATE SCHEMA ext; "
        + PEOPLE
        + "CREATE TABLE sales.people (id int PRIMARY KEY, name text NOT NULL); INSERT INTO sales.people VALUES (7, 'sally');",
        LOUD % "people",
    )
    other = type(change)(change.url + "&options=-csearch_path%3Dsales%2Cext", LOUD % "people")
    for each in (change, other):
        await each.begin()
        await each.up_to_code()
    assert change.rows(other.new_url, "SELECT id, loud FROM people") == [(7, "SALLY")]
    assert change.rows(change.new_url, "SELECT id, loud FROM people ORDER BY 1")[0] == (1, "ADA")
    assert change.rows(other.new_url, "SHOW search_path")[0][0].endswith("sales,ext")
    change.rows(other.old_url, "UPDATE people SET name = 'sam'")
    assert change.rows(other.new_url, "SELECT loud FROM people") == [("SAM",)]
    with psycopg.connect(other.new_url) as connection:  # a session of the other tables keeps nobody waiting
        connection.execute("SELECT 1")
        await change.contract()
    await other.contract()
    assert await drift(other.url) == []


@pytest.mark.parametrize(
    ("space", "path"),
    [
        ("App S", '"App\\ S",public'),
        ("AppS", '"AppS"'),
        ("apps", "Apps"),
        ('a"b', '"a""b",public'),
        ("a, b", '"a,\\ b",public'),
        ('a",b', '"a"",b"'),
    ],
)
async def test_a_schema_whose_name_needs_quotes(space: str, path: str, changing: Make) -> None:
    change = changing(PEOPLE, LOUD % "people")
    name = '"' + space.replace('"', '""') + '"'
    change.rows(change.url, f"CREATE SCHEMA {name}; ALTER TABLE people SET SCHEMA {name}")
    text = LOUD % "people" + SHADOW_OF_CARS
    change.rows(change.url, f"CREATE TABLE {name}.cars (id serial PRIMARY KEY, owner int REFERENCES {name}.people)")
    there = type(change)(f"{change.url}&options={quote(f'-csearch_path={path}')}", text)
    await there.begin()
    before = there.catalogue()
    await there.up_to_code()
    await there.back()
    assert there.catalogue() == before
    await there.up_to_code()
    there.rows(there.old_url, "INSERT INTO people VALUES (3, 'eve')")
    there.rows(there.new_url, "INSERT INTO cars (owner) VALUES (3)")
    assert there.rows(there.new_url, "SELECT loud FROM people WHERE id = 3") == [("EVE",)]
    await there.contract()
    assert there.rows(there.url, f"SELECT pg_typeof(id)::text, owner FROM {name}.cars") == [("bigint", 3)]
    assert await drift(there.url) == []


async def test_further_schemas_and_qualified_names_do_not_confuse_who_writes(changing: Make) -> None:
    change = changing(PEOPLE, "operations:\n  - drop_column: {table: people, column: name, down: \"'nobody'\"}\n")
    await change.begin()
    await change.up_to_code()
    with psycopg.connect(change.new_url, autocommit=True) as new:
        new.execute('SET search_path = "$user", hitless_0002_change, public, pg_catalog')
        new.execute("INSERT INTO people (id) VALUES (5)")
        new.execute("INSERT INTO public.people (id, name) VALUES (6, 'kept')")  # as a function of the old days would
    assert change.rows(change.old_url, "SELECT name FROM people WHERE id IN (5, 6) ORDER BY 1") == [
        ("kept",),
        ("nobody",),
    ]


async def test_time_zones_of_sessions_do_not_change_what_is_mapped(changing: Make) -> None:
    setup = "CREATE TABLE t (id int PRIMARY KEY, at timestamp); INSERT INTO t VALUES (1, '2026-01-01 12:00');"
    change = changing(
        setup,
        "operations:\n  - alter_column: {table: t, column: at, type: timestamptz, up: at::timestamptz, down: at::timestamp}\n",
    )
    await change.begin()
    await change.up_to_code()
    with psycopg.connect(change.old_url, autocommit=True) as old:
        old.execute("SET timezone = 'Asia/Tokyo'")
        old.execute("INSERT INTO t VALUES (2, '2026-01-01 12:00')")
    assert change.rows(change.new_url, "SELECT count(DISTINCT at) FROM t") == [(1,)]
    await change.verify()


async def test_prepared_statements_of_old_sessions_go_on_through_expand_and_backfill(changing: Make) -> None:
    change = changing(
        PEOPLE,
        "operations:\n  - alter_column: {table: people, column: id2, type: bigint, up: id2::bigint, down: id2::int}\n".replace(
            "id2", "n"
        ),
    )
    change.rows(change.url, "ALTER TABLE people ADD n int DEFAULT 4")
    await change.begin()
    with psycopg.connect(change.old_url, autocommit=True) as old:

        def read() -> Any:
            return old.execute("SELECT * FROM people WHERE id = %s", (1,), prepare=True).fetchone()

        assert read() == (1, "ada", 4)
        for step in change.steps.before:
            await change.driver.do(step, MOMENT)
            assert read() == (1, "ada", 4)
        with psycopg.connect(change.new_url, autocommit=True) as new:

            def newer() -> Any:
                return new.execute("SELECT * FROM people WHERE id = %s", (1,), prepare=True).fetchone()

            assert newer() == (1, "ada", 4)
            old.close()
            await change.contract()
            assert newer() == (1, "ada", 4)


async def test_who_may_use_a_table_may_use_its_views(changing: Make) -> None:
    change = changing(PEOPLE, LOUD % "people")
    name = "hitless_test_app"
    change.rows(change.url, f"DO $$ BEGIN CREATE ROLE {name} LOGIN; EXCEPTION WHEN duplicate_object THEN END $$")
    change.rows(change.url, f"GRANT SELECT, INSERT ON people TO {name}")
    await change.begin()
    await change.up_to_code()
    as_app = change.new_url.replace("//hitless@", f"//{name}@")
    change.rows(as_app, "INSERT INTO people VALUES (9, 'low', 'own')")
    change.rows(change.old_url.replace("//hitless@", f"//{name}@"), "INSERT INTO people VALUES (10, 'low')")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        change.rows(as_app, "DELETE FROM people")
    change.rows(change.url, f"DROP OWNED BY {name}")


async def test_behind_a_pooler_a_login_role_chooses_the_version_and_is_counted(changing: Make) -> None:
    change = changing(PEOPLE, LOUD % "people")
    await change.begin()
    await change.up_to_code()
    assert await may_make_roles(change.url)
    role = await make_role(change.url, "0002_change", "secret")
    assert await make_role(change.url, "0002_change", "secret") == role  # once more, as after a kill
    url = pooled_url(change.url.replace("//hitless@/", "//hitless@localhost/"), role, "secret").replace(
        "@localhost/", "@/"
    )
    with psycopg.connect(url, application_name="whatever", autocommit=True) as pooled:
        pooled.execute("INSERT INTO people VALUES (5, 'eve', 'own')")
        assert pooled.execute("SELECT loud FROM people WHERE id = 5").fetchone() == ("own",)
        assert [each.role for each in await sessions(change.url, "0002_change")] == [role]
        await change.contract()
    await drop_role(change.url, "0002_change")


async def test_what_hangs_on_a_column_that_would_go_is_named_before_anything_is_touched(changing: Make) -> None:
    change = changing(
        PEOPLE + "CREATE VIEW names AS SELECT name FROM people;",
        "operations:\n  - drop_column: {table: people, column: name, down: \"''\"}\n",
    )
    await change.begin()
    before = change.catalogue()
    with pytest.raises(Refused, match="view names") as refusal:
        await change.up_to_code()
    assert refusal.value.code == "depends"
    assert change.catalogue() == before


async def test_drift_is_named_down_to_indexes_and_types(changing: Make) -> None:
    change = changing(PEOPLE, LOUD % "people")
    await change.begin()
    await change.up_to_code()
    await change.contract()
    assert await drift(change.url) == []
    change.rows(
        change.url,
        "ALTER TABLE people ALTER name DROP NOT NULL; CREATE INDEX sneaky ON people (name); ALTER TABLE people ADD more int",
    )
    assert await drift(change.url) == [
        '"people"."more" is on one side only',
        '"people"."name" may be NULL now',
        'index "sneaky" of "people" is new',
    ]


async def test_the_person_who_asked_stands_beside_the_role(changing: Make) -> None:
    asked = ["ada"]

    async def person(_: str) -> str:
        return asked[-1]

    change = changing(PEOPLE, LOUD % "people")
    change.driver = DatabaseDriver(lambda _: change.url, person=person)
    await change.begin()
    await change.up_to_code()
    asked.append("bob")
    await change.back()
    asked.append("")
    await change.up_to_code()
    role = change.rows(change.url, "SELECT session_user")[0][0]
    found = change.rows(change.url, "SELECT direction, who, person FROM hitless.migration ORDER BY at")
    assert found == [("up", role, "ada"), ("down", role, "bob"), ("up", role, None)]


async def test_a_migration_out_of_order_or_edited_is_refused_and_both_directions_are_recorded(changing: Make) -> None:
    change = changing(PEOPLE, LOUD % "people")
    await change.begin()
    await change.up_to_code()
    await change.back()
    await change.up_to_code()
    await change.contract()
    ran = change.rows(
        change.url, "SELECT name, direction, who <> '', checksum ~ '^[0-9a-f]{64}$' FROM hitless.migration ORDER BY at"
    )
    assert ran == [("0002_change", each, True, True) for each in ("up", "down", "up")]
    edited = type(change)(change.url, LOUD % "people" + "# edited\n")
    late = type(edited.steps.before[0])(database="main", version="0003_x", migrations=edited.steps.before[0].migrations)
    with pytest.raises(Refused, match="edited"):
        await change.driver.do(late, MOMENT)


async def test_a_thousand_tables_do_not_hold_anybody_up(changing: Make) -> None:
    many = "".join(f"CREATE TABLE t{n} (id int PRIMARY KEY, name text);" for n in range(1000))
    change = changing(many, LOUD % "t7")
    await change.begin()
    await change.up_to_code()
    await change.contract()
    assert change.rows(change.new_url, "SELECT count(*) FROM t999") == [(0,)]


async def test_a_row_that_an_application_holds_only_slows_the_backfill_down(
    changing: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hitless.database.filling.STILL_S", 0.5)
    monkeypatch.setattr("hitless.database.filling.LOCK_TRY_MS", 20)
    change = changing(PEOPLE, LOUD % "people")
    await change.begin()
    await change.driver.do(change.steps.before[0], MOMENT)
    with psycopg.connect(change.old_url) as holding:
        holding.execute("SELECT * FROM people WHERE id = 1 FOR UPDATE")
        with pytest.raises(StepFailed, match=f"session {holding.info.backend_pid}") as failure:
            await change.driver.do(change.steps.before[1], MOMENT)
        assert failure.value.code == "blocked"
    await change.driver.do(change.steps.before[1], MOMENT)


async def test_an_owner_who_is_no_superuser_can_do_all_of_it(changing: Make) -> None:
    setup = """
    DO $$ BEGIN CREATE ROLE hitless_test_owner LOGIN; EXCEPTION WHEN duplicate_object THEN END $$;
    DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO hitless_test_owner', current_database()); END $$;
    GRANT ALL ON SCHEMA public TO hitless_test_owner;
    SET SESSION AUTHORIZATION hitless_test_owner;
    CREATE TABLE people (id int PRIMARY KEY, name text NOT NULL); INSERT INTO people VALUES (1, 'ada'), (2, 'bob');
    CREATE FUNCTION tidy() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.name := initcap(NEW.name); RETURN NEW; END$$;
    CREATE TRIGGER tidy BEFORE INSERT OR UPDATE ON people FOR EACH ROW EXECUTE FUNCTION tidy();
    """
    text = LOUD % "people" + "  - shadow_table: {table: pets, columns: [{name: id, type: bigint, pk: true}]}\n"
    change = changing(setup + "CREATE TABLE pets (id int PRIMARY KEY); INSERT INTO pets VALUES (1);", text)
    owned = type(change)(change.url.replace("//hitless@", "//hitless_test_owner@"), text)
    await owned.begin()
    await owned.up_to_code()
    await owned.back()
    await owned.up_to_code()
    owned.rows(owned.new_url, "INSERT INTO pets VALUES (2); UPDATE people SET name = 'eve' WHERE id = 1")
    assert owned.rows(owned.old_url, "SELECT name FROM people ORDER BY id") == [("Eve",), ("Bob",)]
    await owned.contract()
    assert owned.rows(owned.new_url, "SELECT count(*) FROM pets") == [(2,)]
    change.rows(change.url, "DROP OWNED BY hitless_test_owner CASCADE")


async def test_sessions_of_other_roles_count_also_where_their_names_are_hidden(changing: Make) -> None:
    setup = f"""
    DO $$ BEGIN CREATE ROLE hitless_test_plain LOGIN; EXCEPTION WHEN duplicate_object THEN END $$;
    DO $$ BEGIN CREATE ROLE hitless_test_monitor LOGIN; EXCEPTION WHEN duplicate_object THEN END $$;
    DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO hitless_test_plain', current_database()); END $$;
    GRANT ALL ON SCHEMA public TO hitless_test_plain;
    SET SESSION AUTHORIZATION hitless_test_plain; {PEOPLE}
    """
    change = changing(setup, LOUD % "people")
    owned = type(change)(change.url.replace("//hitless@", "//hitless_test_plain@"), LOUD % "people")
    await owned.begin()
    await owned.up_to_code()
    with psycopg.connect(change.old_url.replace("//hitless@", "//hitless_test_monitor@")):  # may read nothing
        with psycopg.connect(change.old_url) as other:  # a superuser: its name is hidden from an ordinary role
            with pytest.raises(Refused, match=f"{other.info.backend_pid} ") as refusal:
                await owned.contract()
            assert refusal.value.code == "contract-too-early"
        change.rows(change.url, "GRANT SELECT (name) ON people TO hitless_test_monitor")  # of one column is enough
        with pytest.raises(Refused):
            await owned.contract()
    await owned.contract()
    change.rows(change.url, "DROP OWNED BY hitless_test_plain, hitless_test_monitor CASCADE")


async def test_a_unique_constraint_of_a_partitioned_table_takes_over_what_was_built_beside_writes(
    changing: Make,
) -> None:
    setup = """
    CREATE TABLE visits (id int, day int, who text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
    CREATE TABLE visits_1 PARTITION OF visits FOR VALUES FROM (0) TO (10);
    CREATE TABLE visits_2 PARTITION OF visits FOR VALUES FROM (10) TO (20) PARTITION BY LIST (day);
    CREATE TABLE "Visits 3" PARTITION OF visits_2 DEFAULT;
    INSERT INTO visits SELECT g, g % 20, 'w' || g FROM generate_series(1, 200) g;
    """
    text = "operations:\n  - create_constraint: {table: visits, name: once, type: unique, columns: [who, day]}\n"
    change = changing(setup, text)
    await change.begin()
    before = change.catalogue()
    await change.up_to_code()
    with pytest.raises(psycopg.errors.UniqueViolation):
        change.rows(change.new_url, "INSERT INTO visits VALUES (500, 3, 'w3')")
    await change.back()
    assert change.catalogue() == before
    await change.up_to_code()
    nodes = "SELECT indexrelid, pg_relation_filenode(indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = indrelid "
    nodes += "WHERE relname IN ('visits_1', 'Visits 3') ORDER BY 1"
    built = change.rows(change.url, nodes)
    await change.contract()
    assert change.rows(change.url, nodes) == built  # nothing was built under a lock
    found = change.rows(
        change.url,
        "SELECT conrelid::regclass::text, coninhcount, convalidated FROM pg_constraint WHERE contype = 'u' AND connamespace = 'public'::regnamespace ORDER BY 1",
    )
    assert found == [('"Visits 3"', 1, True), ("visits", 0, True), ("visits_1", 1, True), ("visits_2", 1, True)]
    with pytest.raises(psycopg.errors.UniqueViolation):
        change.rows(change.new_url, "INSERT INTO visits VALUES (500, 3, 'w3')")
