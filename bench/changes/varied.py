"""What a soak asks for: changes of every kind, chosen by chance, and how each may end. Pure."""

import random
from dataclasses import dataclass, field
from typing import Any

GOOD = frozenset(
    {"completed", "rolled-back"}
)  # a fault may take a good change back: a killed instance looks like a crash
BACK = frozenset({"rolled-back"})
KNOWN = {"web": ("1.0", "2.0"), "orders": ("1.0", "1.1"), "accounts": ("1.0", "1.1")}  # good versions of the shop
SPLIT = {"main": ["0002_split_name"]}
STEPS = {"strategy": "canary", "steps": ["10%", "100%"], "bake": "1s"}

Serving = dict[str, str]  # service -> the version that most users meet


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One change of a soak."""

    kind: str
    body: dict[str, Any]  # the change file without its name
    ends: frozenset[str] = GOOD
    and_back: bool = False  # rolled back after it completed: it can be asked for again then
    target: Serving = field(default_factory=dict)  # who serves everybody once it completed


def wanted(chance: random.Random, serving: Serving) -> Wanted:
    """Choose one change that makes sense for what serves just now."""
    kinds = {_one_service: 5, _two_services: 2, _scaled: 1, _bad: 3, _schema: 2, _flag: 2, _all: 2, _all_bad: 2}
    (kind,) = chance.choices(list(kinds), weights=list(kinds.values()))
    return kind(chance, serving)


def _one_service(chance: random.Random, serving: Serving) -> Wanted:
    service, strategy = chance.choice(list(KNOWN)), chance.choice(["canary", "blue-green", "rolling"])
    to = _other(service, serving)
    body = {"to": to} | (STEPS if strategy == "canary" else {"strategy": strategy, "bake": "1s"})
    return Wanted(
        kind=f"{service} {to} by {strategy}",
        body={"services": {service: body}},
        and_back=chance.random() < 0.3,
        target={service: to},
    )


def _two_services(chance: random.Random, serving: Serving) -> Wanted:
    target = {name: _other(name, serving) for name in chance.sample(list(KNOWN), 2)}
    body = {name: {"to": to} | STEPS for name, to in target.items()}
    return Wanted(kind=f"{' and '.join(sorted(target))} in one", body={"services": body}, target=target)


def _scaled(chance: random.Random, serving: Serving) -> Wanted:
    del serving
    service, count = chance.choice(list(KNOWN)), chance.choice([1, 3])
    body = {"services": {service: {"instances": count, "bake": "1s"}}}
    return Wanted(kind=f"{service} at {count} instances", body=body, and_back=True)


def _bad(chance: random.Random, serving: Serving) -> Wanted:
    del serving
    to, strategy = chance.choice(["1.3", "1.4", "1.5"]), chance.choice(["canary", "rolling"])
    how = {"strategy": "canary", "steps": ["10%", "100%"], "bake": "20s"} if to == "1.3" else {"strategy": strategy}
    return Wanted(kind=f"broken orders {to}", body={"services": {"orders": {"to": to} | how}}, ends=BACK)


def _schema(chance: random.Random, serving: Serving) -> Wanted:
    del chance, serving
    services = {"accounts": {"to": "1.2"} | STEPS, "orders": {"restart": True, "bake": "1s"}}
    body = {"database": SPLIT, "services": services}
    return Wanted(kind="a schema change", body=body, and_back=True, target={"accounts": "1.2"})


def _flag(chance: random.Random, serving: Serving) -> Wanted:
    del chance, serving
    flag = {"stages": ["staff", "5%", "50%", "everyone"], "bake": "1s"}
    return Wanted(kind="a flag", body={"flags": {"new-checkout": flag}}, and_back=True)


def _all(chance: random.Random, serving: Serving) -> Wanted:
    del chance, serving
    target = {"accounts": "1.2", "web": "2.2"}
    return Wanted(kind="schema, services, flag", body=_one_click(target, bake="1s"), and_back=True, target=target)


def _all_bad(chance: random.Random, serving: Serving) -> Wanted:
    del chance, serving
    body = _one_click({"accounts": "1.2", "web": "2.1"}, bake="30s")  # long enough to be found under any fault
    return Wanted(kind="schema, services, bad flag", body=body, ends=BACK)


def _one_click(target: Serving, *, bake: str) -> dict[str, Any]:
    services = {name: {"to": to} | STEPS for name, to in target.items()}
    flag = {"stages": ["staff", "25%", "everyone"], "bake": bake}
    return {"database": SPLIT, "services": services, "flags": {"one-click": flag}}


def _other(service: str, serving: Serving) -> str:
    first, second = KNOWN[service]
    return second if serving[service] == first else first
