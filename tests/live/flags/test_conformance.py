"""flagd-testbed's features through the official Python provider: in-process, RPC and OFREP, against our server.

The features are read from `shared/data/flagd` beside the checkout, or from the folder in HITLESS_FLAGD_TESTBED;
without that folder, or without the providers, nothing is run.
"""

from typing import Any

import pytest

pytestmark = [pytest.mark.live, pytest.mark.filterwarnings("default")]

pytest.importorskip("openfeature.contrib.provider.flagd", reason="openfeature-provider-flagd is not installed")
pytest.importorskip("openfeature.contrib.provider.ofrep", reason="openfeature-provider-ofrep is not installed")

MODES = ("in-process", "rpc", "ofrep")
KINDS = {"Boolean": "boolean", "String": "string", "Integer": "integer", "Float": "float", "Object": "object"}


def provider(mode: str, server: Any, options: dict[str, str]) -> Any:
    from openfeature.contrib.provider.flagd import FlagdProvider
    from openfeature.contrib.provider.flagd.config import CacheType, ResolverType
    from openfeature.contrib.provider.ofrep import OFREPProvider

    selector = options.get("selector")
    if mode == "ofrep":
        headers = {"flagd-selector": selector} if selector else {}
        return OFREPProvider(f"http://127.0.0.1:{server.http}", headers_factory=lambda: headers)
    kind = ResolverType.RPC if mode == "rpc" else ResolverType.IN_PROCESS
    cache = CacheType.LRU if options.get("cache") in ("lru", "enabled") else CacheType.DISABLED
    return FlagdProvider(
        host="127.0.0.1", port=server.grpc, resolver_type=kind, selector=selector, cache=cache, deadline_ms=30_000
    )


class Clients:
    """One client of the SDK for each choice of options."""

    def __init__(self, mode: str, server: Any) -> None:
        self.mode, self.server = mode, server
        self.known: set[str] = set()

    def ask(self, case: Any) -> Any:
        from openfeature import api
        from openfeature.evaluation_context import EvaluationContext

        domain = f"{self.mode}-{case.options}"
        if domain not in self.known:
            api.set_provider_and_wait(provider(self.mode, self.server, case.options), domain)
            self.known.add(domain)
        kind, key, default = case.flag
        resolve = getattr(api.get_client(domain), f"get_{KINDS[kind]}_details")
        return resolve(key, default, EvaluationContext(case.targeting_key, case.context))


def check(details: Any, wanted: dict[str, Any]) -> None:
    found = {
        "value": details.value,
        "reason": str(getattr(details.reason, "value", details.reason) or ""),
        "variant": details.variant or "",
        "error-code": str(getattr(details.error_code, "value", details.error_code) or ""),
        "metadata": dict(details.flag_metadata),
    }
    assert {name: found[name] for name in wanted} == wanted, details


@pytest.mark.parametrize("mode", MODES)
def test_the_features_of_flagd_testbed_hold(
    mode: str, testbed: Any, testbed_cases: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    from openfeature import api

    clients, cases, failed = Clients(mode, testbed), testbed_cases(mode), []
    for case in cases:
        try:
            for wanted in case.askings:
                check(clients.ask(case), wanted)
        except AssertionError as error:
            failed.append(f"{case.name}: {str(error).splitlines()[0]}")
    api.shutdown()
    with capsys.disabled():
        print(f"\nflagd-testbed, python {mode}: {len(cases) - len(failed)} passed, {len(failed)} failed")
    assert not failed, "\n".join(failed)
    assert len(cases) > 20
