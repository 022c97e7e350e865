"""`hitless import`: other tools' files, turned into ours. Each format is imported when it is called."""

import click

from hitless.cli.main import Verbs

FORMATS = {
    "pgroll": "hitless.cli.import_pgroll",
    "argo": "hitless.cli.import_manifests",
    "flagger": "hitless.cli.import_manifests",
    "alembic": "hitless.cli.import_histories",
    "django": "hitless.cli.import_histories",
    "flyway": "hitless.cli.import_histories",
}


class Formats(Verbs):
    """The formats that hitless reads."""

    verbs = FORMATS


@click.group("import", cls=Formats)
def import_command() -> None:
    """Turn other tools' files into ours, and name everything that does not translate."""
