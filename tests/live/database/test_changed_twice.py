"""Several operations of one change about one column: both versions see what they would if each had been a change of its own."""

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.live
Make = Callable[[str, str], Any]
SETUP = (
    "CREATE TABLE t (id int PRIMARY KEY, name text NOT NULL, a int); INSERT INTO t VALUES (1, 'ada', 1), (2, 'bob', 2);"
)
ADD = "  - add_column: {table: t, up: 'a + 1', column: {name: x, type: int, nullable: true}}\n"
TO_Y = "  - rename_column: {table: t, from: x, to: y}\n"
TO_B = "  - rename_column: {table: t, from: a, to: b}\n"
TO_S = "  - rename_table: {from: t, to: s}\n"
WIDER = "  - alter_column: {table: t, column: a, type: bigint, up: 'a + 100', down: '(a - 100)::int'}\n"
TEXT = "  - alter_column: {table: t, column: a, type: text, up: 't.a::text', down: 't.a::bigint'}\n"
NAMED = "  - alter_column: {table: t, column: name, check: {name: long, constraint: 'length(name) > 3'}, up: \"rpad(name, 4, '-')\", down: name}\n"
UNNAMED = "  - drop_constraint: {table: t, name: long, up: upper(name), down: lower(name)}\n"
FEW = "  - create_constraint: {table: t, name: few, type: check, columns: [a], check: 'a < 0'}\n"
NO_FEW = "  - drop_multicolumn_constraint: {table: t, name: few}\n"


@pytest.mark.parametrize(
    ("text", "seen", "shown"),
    [
        (
            ADD + TO_Y + "  - alter_column: {table: t, column: y, type: text, up: \"y || '!'\"}\n",
            "SELECT y FROM t",
            ["2!", "3!"],
        ),
        (
            ADD
            + TO_B
            + TO_S
            + "  - alter_column: {table: s, column: x, type: bigint, nullable: false, up: 's.x * b'}\n",
            "SELECT x FROM s",
            [2, 6],
        ),
        (
            ADD + "  - drop_column: {table: t, column: a, down: 'x - 1'}\n" + TO_Y.replace("y", "x2"),
            "SELECT x2 FROM t",
            [2, 3],
        ),
        (WIDER + TEXT, "SELECT a FROM t", ["101", "102"]),
        (NAMED + UNNAMED, "SELECT name FROM t", ["ADA-", "BOB-"]),
        (FEW + NO_FEW, "SELECT a FROM t", [1, 2]),
        (
            ADD.replace("nullable: true", "nullable: true, check: {name: few, constraint: 'x < 0'}") + NO_FEW,
            "SELECT x FROM t",
            [2, 3],
        ),
    ],
)
async def test_both_versions_see_what_all_operations_together_say(
    text: str, seen: str, shown: list[Any], changing: Make
) -> None:
    change = changing(SETUP, "operations:\n" + text)
    await change.there_and_back()
    assert [each for (each,) in change.rows(change.new_url, f"{seen} ORDER BY id")] == shown
    assert change.rows(change.old_url, "SELECT id, name, a FROM t ORDER BY 1") == [(1, "ada", 1), (2, "bob", 2)]
    await change.contract()
    assert [each for (each,) in change.rows(change.url, f"{seen} ORDER BY id")] == shown
    assert "_hitless" not in repr(change.catalogue())


async def test_what_altered_a_column_that_is_dropped_after_all_says_what_the_old_version_gets(changing: Make) -> None:
    text = WIDER + "  - alter_column: {table: t, column: a, nullable: false, up: 'coalesce(a, 100)', down: a}\n" + TO_B
    change = changing(SETUP, "operations:\n" + text + "  - drop_column: {table: t, column: b, down: length(name)}\n")
    await change.begin()
    before = change.catalogue()
    await change.up_to_code()
    change.rows(change.new_url, "INSERT INTO t VALUES (3, 'eve')")
    assert change.rows(change.old_url, "SELECT a FROM t ORDER BY id") == [(1,), (2,), (-97,)]
    await change.back()
    assert change.catalogue() == before
    await change.up_to_code()
    await change.contract()
    assert change.rows(change.url, "SELECT * FROM t ORDER BY 1") == [(1, "ada"), (2, "bob"), (3, "eve")]
    assert "_hitless" not in repr(change.catalogue())


MADE = """
  - create_table: {name: made, columns: [{name: id, type: serial, pk: true}, {name: kind, type: text, nullable: true}, {name: gone, type: int}]}
"""
AT_ONCE = """
  - add_column: {table: made, up: "upper(kind)", column: {name: loud, type: text, check: {name: some, constraint: "loud <> ''"}, comment: loud}}
  - add_column: {table: made, column: {name: owner, type: int, nullable: true, default: '1', references: {name: to_t, table: t, column: id}}}
  - alter_column: {table: made, column: kind, type: varchar(9), nullable: false, default: "'cat'", unique: {name: once}, up: "SELECT coalesce(kind, 'none')", down: kind}
  - drop_column: {table: made, column: gone}
  - rename_column: {table: made, from: loud, to: louder}
  - alter_column: {table: made, column: louder, nullable: true, comment: null}
  - create_index: {name: by_owner, table: made, columns: [{column: owner}]}
"""
ROW = "  - sql: {up: \"INSERT INTO made (kind, gone) VALUES ('dog', 1)\", down: SELECT 1}\n"


@pytest.mark.parametrize("rows", ["", ROW], ids=["empty", "with a row"])
async def test_a_table_of_the_same_change_is_at_once_what_it_is_to_be(rows: str, changing: Make) -> None:
    change = changing(SETUP, "operations:" + MADE + rows + AT_ONCE.removeprefix("\n"))
    await change.there_and_back()
    insert = "INSERT INTO made (louder) VALUES (NULL) RETURNING kind, owner"
    assert change.rows(change.new_url, insert) == [("cat", 1)]
    found = "SELECT kind, louder FROM made WHERE kind = 'dog'"
    assert change.rows(change.new_url, found) == ([("dog", "DOG")] if rows else [])
    await change.contract()
    told = repr(change.catalogue())
    assert "_hitless" not in told
    assert all(f"'{each}'" in told for each in ("some", "to_t", "once", "by_owner", "louder"))
    assert "'gone'" not in told
