"""The folder of migrations of a database: what lies there, and bringing more into it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hitless.database.migration import Migration, in_order
from hitless.database.pgroll import SUFFIXES, translated
from hitless.kit.errors import InvalidInput, Refused
from hitless.kit.files import write_atomic
from hitless.plan.system import System, near

FILES_LIMIT = 10_000
SIZE_LIMIT = 1 << 20  # bytes of one file


@dataclass(frozen=True, slots=True)
class MigrationFolder:
    """One folder of files NNNN_name.yaml."""

    path: Path

    def read(self) -> tuple[Migration, ...]:
        """Return all migrations by number. Raises InvalidInput for a strange name, or a number that two have."""
        if not self.path.is_dir():
            raise InvalidInput(
                "no-migrations-folder", f"there is no folder {self.path}", "make it, or correct the file"
            )
        files = sorted(each for each in self.path.iterdir() if each.suffix in (".yaml", ".yml"))
        if len(files) > FILES_LIMIT:
            raise InvalidInput("too-many-migrations", f"{self.path} has {len(files)} files; {FILES_LIMIT} is the limit")
        return in_order(tuple(Migration(name=each.stem, text=_text(each)) for each in files))

    def add(self, migrations: Iterable[Migration]) -> list[Path]:
        """Write migrations, all of them or none. Raises Refused if one of them is there already."""
        paths = {self.path / f"{each.name}.yaml": each.text for each in migrations}
        if taken := [path.name for path in paths if path.exists()]:
            raise Refused("migration-there", f"{self.path} has {', '.join(taken)} already", "nothing was written")
        self.path.mkdir(parents=True, exist_ok=True)
        for path, text in paths.items():
            write_atomic(path, text, mode=0o644)
        return list(paths)


def folder_of(system: System, database: str | None, base: Path) -> MigrationFolder:
    """Return the folder of a database; the only one that has one if none is named. Raises InvalidInput."""
    known = {name: each.migrations for name, each in system.databases.items() if each.migrations}
    if database is None and len(known) == 1:
        database = next(iter(known))
    if database is None:
        text = f"{len(known)} databases of {system.system} have a folder of migrations"
        raise InvalidInput("which-database", text, "name one: --database; or give it one: migrations: migrations/")
    if database not in known:
        text = f"{database!r} is no database of {system.system} with a folder of migrations"
        raise InvalidInput("unknown-database", text, near(database, known))
    return MigrationFolder(base / str(known[database]))


def import_pgroll(source: Path, target: MigrationFolder) -> list[Path]:
    """Bring a folder of pgroll's files (YAML or JSON) into ours, in their order. Raises InvalidInput, Refused."""
    if not source.is_dir():
        raise InvalidInput("no-such-folder", f"{source} is no folder", "name the folder that holds pgroll's files")
    files = sorted((each for each in source.iterdir() if each.suffix in SUFFIXES), key=lambda each: each.name)
    if not files:
        raise InvalidInput("nothing-to-import", f"{source} has no files {', '.join(SUFFIXES)}")
    there = target.read() if target.path.is_dir() else ()
    migrations = translated([(each.name, _text(each)) for each in files], after=there[-1].number if there else 0)
    known = {each.checksum: each.name for each in there}
    if twice := [known[each.checksum] for each in migrations if each.checksum in known]:
        raise Refused("migration-there", f"{target.path} holds the same as {', '.join(twice[:5])} already", "")
    return target.add(migrations)


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > SIZE_LIMIT:
            raise InvalidInput("file-too-large", f"{file} has more than {SIZE_LIMIT} bytes")
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("no-such-file", f"{file} cannot be read: {error}") from None
