"""A primary key moves into the statement that makes its table, and nothing else does."""

import pytest

from hitless.database.pg_dump import keys_inside

PLAIN = """CREATE TABLE public."my ""t" (
    id bigint NOT NULL,
    price numeric(4,2) DEFAULT round(1.5, 1)
);


ALTER TABLE ONLY public."my ""t"
    ADD CONSTRAINT "my key" PRIMARY KEY (id, "a b");

SELECT 1;
"""
INSIDE = """CREATE TABLE public."my ""t" (
    id bigint NOT NULL,
    price numeric(4,2) DEFAULT round(1.5, 1),
    CONSTRAINT "my key" PRIMARY KEY (id, "a b")
);



SELECT 1;
"""


def test_the_key_of_a_plain_table_moves() -> None:
    assert keys_inside(PLAIN) == INSIDE


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (");\n\n\n", ")\nPARTITION BY RANGE (id);\n\n\n"),
        (");\n\n\n", ")\nWITH (fillfactor='50');\n\n\n"),
        (");\n\n\n", ")\nINHERITS (public.other);\n\n\n"),
        ("PRIMARY KEY (id, ", "UNIQUE (id, "),
        ('"a b")', '"a b") INCLUDE (price)'),
        ('ONLY public."my ""t"', "ONLY public.other"),
        ("    id bigint NOT NULL,\n", "    id text DEFAULT 'a\nb' NOT NULL,\n"),
    ],
)
def test_anything_else_stays_as_it_is(before: str, after: str) -> None:
    sql = PLAIN.replace(before, after)
    assert sql != PLAIN
    assert keys_inside(sql) == sql
