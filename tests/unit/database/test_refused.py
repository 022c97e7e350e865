"""Operations that cannot be right are refused by name while they are compiled, before anything is touched."""

from dataclasses import replace

import pytest
import yaml

from hitless.database.catalogue import Catalogue, Column, Index, Table
from hitless.database.compile import compile_operation
from hitless.database.folding import folded
from hitless.database.migration import Migration
from hitless.database.pieces import Pieces
from hitless.database.sync import GROUPS_LIMIT, syncs
from hitless.kit.errors import Exit, Refused

ITEMS = Table(
    physical="items",
    columns={
        "id": Column(physical="id", type="bigint", nullable=False),
        "name": Column(physical="name", type="text"),
        "size": Column(physical="size", type="integer"),
        "total": Column(physical="total", type="integer", generated=True),
    },
    key=("id",),
    indexes=(Index(name="items_name", definition="CREATE INDEX items_name ON items USING btree (name)"),),
)
ALTERED = {"alter_column": {"table": "items", "column": "name", "type": "int", "up": "1", "down": "'1'"}}
AGAIN_BY_QUERY = {"alter_column": {**ALTERED["alter_column"], "up": "(SELECT items.name + 1)"}}
OTHERWISE = {"rename_constraint": {"table": "items", "from": "few", "to": "many"}}
SQL = {"sql": {"up": "SELECT 1", "down": "SELECT 1"}}
INDEXED = {"create_index": {"name": "by_name", "table": "items", "columns": [{"column": "name"}]}}
DROPPED = {"drop_column": {"table": "items", "column": "name", "down": "'x'"}}
READING = {"alter_column": {"table": "items", "column": "size", "type": "text", "up": "size::text", "down": "name"}}
CHECKED = {"alter_column": {"table": "items", "column": "name", "check": {"name": "few", "constraint": "name <> ''"}}}
ADDED = {"add_column": {"table": "items", "column": {"name": "more", "type": "int", "nullable": True}}}
KEY = [{"name": "id", "type": "bigint", "pk": True}]


def compiled(*operations: dict[str, object], table: Table = ITEMS) -> Pieces:
    catalogue = Catalogue(tables={"items": table})
    pieces = Pieces(old=catalogue, new=catalogue)
    migration = Migration(name="0002_change", text=yaml.safe_dump({"operations": list(operations)}))
    for operation in folded(migration.read().operations):
        pieces = compile_operation(operation, pieces)
    return pieces


def shadow(**more: object) -> dict[str, object]:
    return {"shadow_table": {"table": "items", "columns": KEY, "up": {"id": "id"}, "down": {"id": "id"}, **more}}


@pytest.mark.parametrize(
    ("code", "operations", "table"),
    [
        ("cannot-add", [{"add_column": {"table": "items", "column": {"name": "name", "type": "text"}}}], {}),
        ("changed-twice", [ALTERED, AGAIN_BY_QUERY], {}),
        ("changed-twice", [CHECKED, OTHERWISE, {"drop_constraint": {"table": "items", "name": "few"}}], {}),
        ("changed-twice", [ADDED, SQL, {"alter_column": {**ALTERED["alter_column"], "column": "more"}}], {}),
        ("changed-twice", [ALTERED, INDEXED, DROPPED], {}),
        ("changed-twice", [ALTERED, READING, DROPPED], {}),
        ("changed-twice", [ALTERED, shadow()], {}),
        (
            "constraint-incomplete",
            [
                {
                    "create_table": {
                        "name": "new",
                        "columns": KEY,
                        "constraints": [{"name": "positive", "type": "check", "columns": ["id"]}],
                    }
                }
            ],
            {},
        ),
        (
            "generated-column",
            [{"alter_column": {"table": "items", "column": "total", "type": "text", "up": "1", "down": "1"}}],
            {},
        ),
        ("no-such-constraint", [{"drop_constraint": {"table": "items", "name": "gone"}}], {}),
        ("no-such-constraint", [{"rename_constraint": {"table": "items", "from": "gone", "to": "here"}}], {}),
        (
            "outside-transaction",
            [{"sql": {"up": "CREATE INDEX CONCURRENTLY i ON items (name)", "down": "SELECT 1"}}],
            {},
        ),
        ("outside-transaction", [{"sql": {"up": "VACUUM items", "onComplete": True}}], {}),
        (
            "name-taken",
            [{"create_index": {"name": "items_name", "table": "items", "columns": [{"column": "id"}]}}],
            {},
        ),
        ("no-such-index", [{"drop_index": {"name": "gone"}}], {}),
        ("row-security", [shadow()], {"secured": True}),
        ("no-key", [shadow()], {"key": ()}),
        ("rows-one", [shadow(split_by="name")], {}),
        ("rows-many", [shadow(rows="many")], {}),
    ],
)
def test_what_cannot_be_right_is_refused(
    code: str, operations: list[dict[str, object]], table: dict[str, object]
) -> None:
    with pytest.raises(Refused) as refusal:
        compiled(*operations, table=replace(ITEMS, **table))  # type: ignore[arg-type]
    assert (refusal.value.code, refusal.value.exit) == (code, Exit.REFUSED)
    assert refusal.value.hint


def test_more_columns_than_a_row_has_marks_for_are_refused() -> None:
    columns = [f"c{number}" for number in range(GROUPS_LIMIT + 1)]
    table = replace(ITEMS, columns={**ITEMS.columns, **{each: Column(physical=each, type="text") for each in columns}})
    changes = [
        {
            "alter_column": {
                "table": "items",
                "column": each,
                "type": "int",
                "up": f"{each}::int",
                "down": f"{each}::text",
            }
        }
        for each in columns
    ]
    assert syncs(compiled(*changes[1:], table=table))
    with pytest.raises(Refused) as refusal:
        syncs(compiled(*changes, table=table))
    assert refusal.value.code == "too-many-columns"


@pytest.mark.parametrize(
    ("name", "others", "hint"),
    [
        ("itms", (), "there are items"),
        ("itms", ("people", "items2"), "there are items, items2 and 1 more"),
        ("x", tuple("fedcba"), "there are a, b, c, d, e and 2 more"),
    ],
)
def test_a_table_that_is_not_there_is_told_with_those_that_are(name: str, others: tuple[str, ...], hint: str) -> None:
    tables = {each: replace(ITEMS, physical=each) for each in ("items", *others)}
    with pytest.raises(Refused) as failure:
        Catalogue(tables=tables).table(name)
    assert failure.value.hint == hint
