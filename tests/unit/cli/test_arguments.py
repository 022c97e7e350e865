"""Options that belong to no verb may stand anywhere."""

import pytest

from hitless.cli.main import general_first


@pytest.mark.parametrize(
    ("typed", "understood"),
    [
        (["status"], ["status"]),
        (["status", "--json"], ["--json", "status"]),
        (["up", "-f", "shop.yaml"], ["-f", "shop.yaml", "up"]),
        (
            ["apply", "change.yaml", "--file=shop.yaml", "--json"],
            ["--file=shop.yaml", "--json", "apply", "change.yaml"],
        ),
        (["logs", "web", "-n", "5", "-f"], ["-f", "logs", "web", "-n", "5"]),
        (["show", "--", "--json"], ["show", "--", "--json"]),
    ],
)
def test_they_come_first(typed: list[str], understood: list[str]) -> None:
    assert general_first(typed) == understood
