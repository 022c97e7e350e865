"""Which clients would split the same users in another way."""

import pytest

from hitless.flags.languages import Seen, check_languages
from hitless.kit.errors import Refused


def seen(protocol: str, agent: str) -> Seen:
    return Seen(name=agent, protocol=protocol, agent=agent, version="v")


def test_a_share_is_refused_while_a_client_in_process_buckets_in_another_generation() -> None:
    clients = [seen("flagd.sync.v1", "grpc-python/1.85.1"), seen("flagd.sync.v1", "grpc-node-js/1.14.7")]
    with pytest.raises(Refused, match="grpc-node-js") as refusal:
        check_languages(clients, "v3", "f")
    assert refusal.value.code == "flag-bucketing"


def test_remote_evaluation_is_always_one_language() -> None:
    check_languages([seen("flagd.evaluation.v2", "grpc-node-js/1"), seen("ofrep-sse", "Mozilla")], "v3", "f")
