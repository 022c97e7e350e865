"""Reads HAProxy's own counts. Pure."""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hitless.plan.instances import SLOTS, InstanceId


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What HAProxy counted."""

    in_flight: Mapping[InstanceId, int]  # requests, streams, websockets, and what waits for an instance
    requests: Mapping[str, tuple[int, int]]  # per service: all, and those answered by a 5xx


def read_counters(tables: Iterable[str]) -> Counters:
    """Read answers to `show stat` (CSV, management guide 9.1)."""
    in_flight: Counter[InstanceId] = Counter()
    totals: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    rows = (row for table in tables for row in csv.DictReader(table.lstrip("# ").splitlines()))
    for row in rows:
        service, _, slot = row["pxname"].rpartition(".")
        if slot not in SLOTS:
            continue
        if row["svname"] == "BACKEND":
            totals[service] += int(row["req_tot"] or row["stot"] or 0)
            failed[service] += int(row["hrsp_5xx"] or 0)
        elif row["svname"] != "FRONTEND":
            instance = InstanceId.parse(f"{service}-{slot}{row['svname'][1:]}")
            in_flight[instance] += int(row["scur"]) + int(row["qcur"] or 0)
    requests = {service: (total, failed[service]) for service, total in totals.items()}
    return Counters(in_flight={each: count for each, count in in_flight.items() if count}, requests=requests)


def read_info(text: str) -> Mapping[str, str]:
    """Read `show info`: lines of `Name: value`."""
    pairs = (line.partition(": ") for line in text.splitlines())
    return {name: value for name, _, value in pairs if value}
