"""A history of another tool: where it ends, what in it means nothing here, and the baseline that hitless goes on from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitless.app.imports.alembic import read_alembic
from hitless.app.imports.django import read_django
from hitless.app.imports.flyway import read_flyway
from hitless.app.imports.history import History, baseline
from hitless.database.migration import Migration
from hitless.kit.errors import InvalidInput


def revision(name: str, down: str, more: str = "") -> str:
    return (
        f"from alembic import op\nrevision: str = {name!r}\ndown_revision = {down}\n{more}\ndef upgrade():\n    pass\n"
    )


def migration(dependencies: str, more: str = "") -> str:
    return (
        "from django.db import migrations\nclass Migration(migrations.Migration):\n"
        f"    dependencies = {dependencies}\n    {more}\n    operations = []\n"
    )


def codes(history: History) -> list[str]:
    return [each.code for each in history.left]


def refusal(read: object, texts: dict[str, str]) -> str:
    with pytest.raises(InvalidInput) as caught:
        read(texts)  # type: ignore[operator]
    return caught.value.code


def test_alembic_ends_at_the_revision_that_nothing_stands_on() -> None:
    history = read_alembic(
        {
            "a_one.py": revision("a1", "None"),
            "b_left.py": revision("b1", "'a1'"),
            "c_right.py": revision("c1", "'a1'", "branch_labels = ('billing',)"),
            "d_merge.py": revision("d1", "('b1', 'c1')"),
            "env.py": "import os\n",
        }
    )
    assert (history.heads, history.count, history.answer) == (("d1",), 4, "d1")
    assert codes(history) == ["branch", "not-a-revision"]


def test_a_revision_file_is_never_run() -> None:
    assert read_alembic({"a.py": revision("a1", "None", "raise SystemExit('I ran')")}).heads == ("a1",)


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        ({}, "no-history"),
        ({"env.py": "import os\n"}, "no-history"),
        ({"a.py": revision("a1", "None"), "b.py": revision("b1", "None")}, "several-heads"),
        ({"a.py": revision("a1", "'gone'")}, "broken-history"),
        ({"a.py": revision("a1", "'b1'"), "b.py": revision("b1", "'a1'")}, "broken-history"),
        ({"a.py": revision("a1", "None"), "b.py": revision("a1", "None")}, "broken-history"),
        ({"a.py": revision("a1", "some_name")}, "broken-history"),
        ({"a.py": revision("a1", "5")}, "broken-history"),
        ({"a.py": "def ("}, "broken-history"),
    ],
)
def test_an_alembic_history_that_is_not_one_line_is_refused(texts: dict[str, str], code: str) -> None:
    assert refusal(read_alembic, texts) == code


@given(order=st.permutations(range(8)))
def test_the_names_of_the_files_say_nothing_about_the_order(order: list[int]) -> None:
    texts = {f"{place}.py": revision(f"r{n}", repr(f"r{n - 1}") if n else "None") for n, place in enumerate(order)}
    assert read_alembic(texts).heads == ("r7",)


def test_django_has_one_head_for_each_app() -> None:
    history = read_django(
        {
            "shop/migrations/__init__.py": "",
            "shop/migrations/0001_initial.py": migration("[('auth', '0012_alter_user')]"),
            "shop/migrations/0002_price.py": migration("[('shop', '0001_initial'), ('users', '0001_initial')]"),
            "users/migrations/0001_initial.py": migration(
                "[migrations.swappable_dependency(settings.AUTH_USER_MODEL)]"
            ),
            "users/models.py": "class Migration: pass\n",
        }
    )
    assert history.heads == ("shop.0002_price", "users.0001_initial")
    assert (history.count, history.answer) == (3, "2")
    assert "'shop.0002_price', 'users.0001_initial'" in history.query
    assert sorted(codes(history)) == ["dependency", "other-app"]


def test_what_a_squashed_migration_replaces_does_not_count() -> None:
    history = read_django(
        {
            "shop/migrations/0001_initial.py": migration("[]"),
            "shop/migrations/0002_more.py": migration("[('shop', '0001_initial')]"),
            "shop/migrations/0001_squashed.py": migration(
                "[]", "replaces = [('shop', '0001_initial'), ('shop', '0002_more')]"
            ),
            "shop/migrations/0003_last.py": migration("[('shop', '0002_more')]"),
        }
    )
    assert (history.heads, history.count) == (("shop.0003_last",), 2)


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        ({"shop/models.py": "x = 1\n"}, "no-history"),
        (
            {"a/migrations/0001_a.py": migration("[]"), "a/migrations/0001_b.py": migration("[]")},
            "several-heads",
        ),
        ({"a/migrations/0002_a.py": migration("[('a', '0001_gone')]")}, "broken-history"),
        ({"a/migrations/0001_a.py": "class ("}, "broken-history"),
    ],
)
def test_a_django_history_that_is_not_one_line_is_refused(texts: dict[str, str], code: str) -> None:
    assert refusal(read_django, texts) == code


def test_flyway_ends_at_the_highest_version_and_ten_comes_after_nine() -> None:
    history = read_flyway(
        {
            "V1__init.sql": "create table a (id int); create schema if not exists audit;",
            "V1_9__more.sql": "",
            "sub/V1.10__most.sql": "insert into a values (${first})",
            "B1__state.sql": "",
            "U1.10__most.sql": "",
            "R__views.sql": "",
            "V1.2__code.java": "",
            "afterMigrate.sql": "",
            "readme.md": "",
        }
    )
    assert (history.heads, history.count) == (("1.10",), 4)
    assert sorted(codes(history)) == [
        "callback",
        "no-sql",
        "not-a-migration",
        "other-schema",
        "placeholder",
        "repeatable",
        "undo",
    ]


@given(st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=3), min_size=1, max_size=6))
def test_flyway_versions_are_compared_by_number(versions: list[list[int]]) -> None:
    texts = {f"V{'.'.join(map(str, parts))}__{number}.sql": "" for number, parts in enumerate(versions)}

    def plain(parts: list[int]) -> tuple[int, ...]:
        return tuple([*parts, 0, 0][:3])

    if len({plain(parts) for parts in versions}) < len(versions):
        assert refusal(read_flyway, texts) == "broken-history"
    else:
        head = tuple(int(part) for part in read_flyway(texts).heads[0].split("."))
        assert plain(list(head)) == max(map(plain, versions))


def test_the_baseline_is_a_migration_of_ours_that_changes_nothing() -> None:
    made = baseline(read_alembic({"a.py": revision("ae10 27".replace(" ", ""), "None")}), ())
    assert (made.version, made.file) == ("0001_alembic_ae1027", "0001_alembic_ae1027.yaml")
    assert Migration(name=made.version, text=made.text).read().operations == ()
    assert "SELECT version_num FROM alembic_version" in made.text


def test_a_baseline_is_the_first_migration_or_none() -> None:
    history = read_flyway({"V7__a.sql": ""})
    assert baseline(history, ["README.md"]).version == "0001_flyway_7"
    with pytest.raises(InvalidInput) as caught:
        baseline(history, ["0001_orders.yaml"])
    assert caught.value.code == "migrations-there"


def test_a_name_that_would_leave_its_comment_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        baseline(read_alembic({"a.py": revision("a\noperations: [{sql: {up: x}}]", "None")}), ())
    assert caught.value.code == "invalid-name"
