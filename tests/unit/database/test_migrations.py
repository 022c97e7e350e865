"""Migration files, versions and the values that both sides are kept in step with; no database here."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitless.database.catalogue import Catalogue, Column, Table
from hitless.database.compile import compile_operation
from hitless.database.compiled import renames
from hitless.database.constraints import substituted
from hitless.database.migration import Migration, in_order
from hitless.database.names import NAME_LIMIT, fitted, quoted, schemas_in
from hitless.database.pieces import Pieces
from hitless.database.steps import Contract, Expand, schema_steps
from hitless.database.urls import version_url
from hitless.kit.errors import Exit, InvalidInput, Refused
from hitless.plan.change import read_change

RENAME = "operations: [{rename_column: {table: people, from: role, to: job}}]"


def compiled(text: str) -> Pieces:
    table = Table(
        physical="people",
        columns={"id": Column(physical="id", type="int"), "role": Column(physical="role", type="text")},
    )
    pieces = Pieces(old=Catalogue(tables={"people": table}), new=Catalogue(tables={"people": table}))
    for operation in Migration(name="0001_x", text=text).read().operations:
        pieces = compile_operation(operation, pieces)
    return pieces


def test_a_rename_touches_no_base_table_before_contract() -> None:
    pieces = compiled(RENAME)
    assert pieces.expand == ()
    assert list(pieces.new.tables["people"].columns) == ["id", "job"]
    assert pieces.contract == ()
    assert renames(pieces) == ('ALTER TABLE "people" RENAME COLUMN "role" TO "job"',)


def test_a_misspelt_key_is_named_with_its_line() -> None:
    with pytest.raises(InvalidInput) as error:
        Migration(name="0001_x", text="operations:\n  - drop_colum: {table: a, column: b}\n").read()
    assert "0001_x.yaml:2" in error.value.text
    assert error.value.hint == "did you mean drop_column?"


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE a (n int); COMMIT; CREATE TABLE b (n int)",
        "/* -- */ rollback",
        "SELECT 'it''s; '; -- no end\n End Work",
        "SELECT $x$ ; $x$; START TRANSACTION",
        "SELECT E'\\';'; PREPARE TRANSACTION 'x'",
    ],
)
@pytest.mark.parametrize("side", ["up", "down"])
def test_sql_that_would_end_the_transaction_is_refused(sql: str, side: str) -> None:
    both = {"up": "SELECT 1", "down": "SELECT 1", side: sql}
    with pytest.raises(InvalidInput, match="one transaction"):
        Migration(name="0001_x", text=json.dumps({"operations": [{"sql": both}]})).read()


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN; COMMIT; END $$",
        "CREATE FUNCTION f(n int) RETURNS int BEGIN ATOMIC SELECT CASE n WHEN 1 THEN 2 END; SELECT 3; END; SELECT 4",
        "SELECT ';COMMIT', \"; COMMIT\" -- ; COMMIT\n FROM t /* ; COMMIT; */",
        "SAVEPOINT a; INSERT INTO t VALUES (1); ROLLBACK TO SAVEPOINT a; PREPARE q AS SELECT 1",
        "ALTER TABLE commit RENAME TO begin",
    ],
)
def test_sql_with_such_words_in_other_places_is_fine(sql: str) -> None:
    Migration(name="0001_x", text=json.dumps({"operations": [{"sql": {"up": sql, "down": "SELECT 1"}}]})).read()


def test_an_operation_with_two_keys_is_refused() -> None:
    with pytest.raises(InvalidInput, match="exactly one key"):
        Migration(name="0001_x", text="operations: [{drop_table: {name: a}, drop_index: {name: b}}]").read()


def test_two_people_who_took_the_same_number_are_both_named() -> None:
    with pytest.raises(InvalidInput, match="0002_b and 0002_a"):
        in_order((Migration(name="0002_b", text=""), Migration(name="0002_a", text="")))


def test_a_name_that_is_taken_is_refused() -> None:
    with pytest.raises(Refused, match="name-taken"):
        compiled("operations: [{rename_column: {table: people, from: role, to: id}}]")


def test_contract_is_the_only_point_of_no_return() -> None:
    steps = schema_steps("main", (Migration(name="0001_x", text=RENAME),))
    assert [type(each) for each in (*steps.before, *steps.after) if each.point_of_no_return] == [Contract]
    assert isinstance(steps.before[0], Expand)


def test_names_in_texts_are_left_alone_when_columns_get_other_names() -> None:
    assert substituted("a > 0 AND \"a\" <> 'a'", {"a": "b"}) == '"b" > 0 AND "b" <> \'a\''


def test_a_version_is_chosen_in_the_url_and_what_stood_there_stays() -> None:
    url = version_url("postgresql://me:secret@db:5432/shop?sslmode=require&options=-cwork_mem%3D8MB", "0002_x")
    query = parse_qs(urlsplit(url).query)
    assert query["options"] == ['-cwork_mem=8MB -csearch_path="hitless_0002_x",public']
    assert query["sslmode"] == ["require"]
    assert urlsplit(url).netloc == "me:secret@db:5432"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_any_name_fits_and_cannot_leave_its_quotes(name: str) -> None:
    assert len(fitted(name).encode()) <= NAME_LIMIT
    assert quoted(name)[1:-1].replace('""', "") == name.replace('"', "")


@given(st.lists(st.text(min_size=1), min_size=1))
def test_a_search_path_comes_apart_between_its_names_whatever_is_in_them(names: list[str]) -> None:
    path = [quoted(each) for each in names]
    assert schemas_in(", ".join(path)) == schemas_in(",".join(path)) == path
    assert schemas_in(f"{', '.join(path)}, public,$user ") == [*path, "public", "$user"]


@pytest.mark.parametrize("name", ["20261125093000_by_time", "1_x", "0002_" + "n" * 48])
def test_what_a_folder_may_hold_a_change_may_name(name: str) -> None:
    assert in_order((Migration(name=name, text=""),))[0].name == name
    assert read_change(f"change: c\ndatabase: {{ main: [{name}] }}\n", file="c.yaml").database["main"].migrations == (
        name,
    )


@pytest.mark.parametrize("name", ["202611250930001_by_time", "x_1", "0002_", "0002_" + "n" * 49, "0002_a b", "٢_x"])
def test_what_a_folder_may_not_hold_a_change_may_not_name(name: str) -> None:
    with pytest.raises(InvalidInput, match="migration"):
        in_order((Migration(name=name, text=""),))
    with pytest.raises(InvalidInput):
        read_change(f"change: c\ndatabase: {{ main: ['{name}'] }}\n", file="c.yaml")


@pytest.mark.parametrize(
    "operation",
    [
        "create_table: {name: LONG, columns: [{name: id, type: int, pk: true}]}",
        "create_table: {name: t, columns: [{name: LONG, type: int, pk: true}]}",
        "rename_table: {from: t, to: LONG}",
        "rename_column: {table: t, from: a, to: LONG}",
        "rename_constraint: {table: t, from: a, to: LONG}",
        "add_column: {table: t, column: {name: LONG, type: int}}",
        "add_column: {table: t, column: {name: a, type: int, check: {name: LONG, constraint: a > 0}}}",
        "alter_column: {table: t, column: a, unique: {name: LONG}}",
        "create_index: {table: t, name: LONG, columns: [{column: a}]}",
        "create_constraint: {table: t, name: LONG, type: unique, columns: [a]}",
        "create_enum: {name: LONG, values: [a]}",
        "shadow_table: {table: t, columns: [{name: id, type: int, pk: true}], partitions: {LONG: DEFAULT}}",
    ],
)
def test_a_name_that_postgresql_would_cut_is_no_name(operation: str) -> None:
    longest, too_long = "ä" * 31 + "x", "ä" * 32
    Migration(name="0001_x", text=f"operations: [{{{operation.replace('LONG', longest)}}}]").read()
    with pytest.raises(InvalidInput, match="64 bytes, and a name in PostgreSQL at most 63") as failure:
        Migration(name="0001_x", text=f"operations: [{{{operation.replace('LONG', too_long)}}}]").read()
    assert failure.value.exit == Exit.USAGE


def test_the_columns_of_an_index_may_be_a_mapping_as_newer_files_of_pgroll_have_it() -> None:
    index = "operations: [{create_index: {name: i, table: people, columns: COLUMNS}}]"
    mapping = "{role: {collate: C, sort: DESC, nulls: LAST, opclass: {name: text_ops}}, id: {}}"
    listed = "[{column: role, collate: C, sort: DESC, nulls: LAST, opclass: {name: text_ops}}, {column: id}]"
    one, other = (compiled(index.replace("COLUMNS", each)) for each in (mapping, listed))
    assert one.builds == other.builds
    assert '("role" COLLATE "C" text_ops DESC NULLS LAST, "id")' in one.builds[0].sql
    assert compiled(index.replace("COLUMNS", "{id: }")).builds[0].sql.endswith('("id")')
    for wrong in ("{id: 3}", "{id: {column: role}}", "{id: {sorted: ASC}}", "id"):
        with pytest.raises(InvalidInput) as failure:
            compiled(index.replace("COLUMNS", wrong))
        assert failure.value.exit == Exit.USAGE
        assert "columns" in failure.value.text
