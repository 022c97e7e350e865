"""What users feel while a running shop is changed, killed and brought back: counted at the client.

    python bench/changes/run.py [--rate 300] [--kills 20] [--seed 1] [--json]

One copy of the example shop takes load from 2,000 users: GET, POST with rows read back at the end, a download of 8 s,
a stream and a websocket held throughout. Every strategy is carried out, a broken version taken back, a completed run
rolled back, instances taken away; then the controller is killed at random moments of further runs, an instance is
killed, and HAProxy with the controller dead. Last come the times of the commands.
"""

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # run by its path: the benchmarks' own folder

from bench.changes.shop import Bench, Shares, held, kill, line, randomly, running, until

from hitless.kit.errors import Exit, HitlessError

QUICK = {"bake": "2s"}
CANARY = {"strategy": "canary", "steps": ["1%", "5%", "25%", "100%"]}


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rate", type=float, default=300.0)
    options.add_argument("--requests", type=int, default=20_500, help="at least, before the kills")
    options.add_argument("--kills", type=int, default=20)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--json", action="store_true")
    wanted = options.parse_args()
    result: dict[str, Any] = {"missed": []}
    with running(rate=wanted.rate) as bench:
        changes(bench, result, wanted.requests)
        kills(bench, result, wanted.kills, wanted.seed)
        deaths(bench, result)
    times(result)
    if wanted.json:
        print(json.dumps(result))
    for missed in result["missed"]:
        print(f"MISSED {missed}", file=sys.stderr)
    return 1 if result["missed"] else 0


def changes(bench: Bench, result: dict[str, Any], requests: int) -> None:
    """Every way of changing, under load."""
    stage = bench.stage
    stage.load.start()
    shares = Shares(stage.file.parent / ".hitless")
    shares.start()
    print(f"changes at {stage.load.profile.rate:g} requests/s, at the client")
    parts: dict[str, Callable[[], object]] = {
        "canary 1-5-25-100 %": lambda: bench.apply(bench.change(orders={"to": "1.1"} | CANARY | QUICK)),
        "blue-green": lambda: bench.apply(bench.change(web={"to": "2.0", "strategy": "blue-green"} | QUICK)),
        "rolling": lambda: bench.apply(bench.change(accounts={"to": "1.1", "strategy": "rolling"} | QUICK)),
        "rollback after success": lambda: stage.hitless("rollback", stage.runs[-1].run),
        "a broken version taken back": lambda: broken(bench),
        "scale up to 4": lambda: stage.hitless("scale", "accounts", "4"),
        "scale down to 2": lambda: stage.hitless("scale", "accounts", "2"),
    }
    for name, part in parts.items():
        counted(bench, name, part, result)
    report = stage.load.report()
    rest = requests - report.total
    if rest > 0:
        counted(bench, "nothing but load", lambda: time.sleep(rest / stage.load.profile.rate), result)
    shares.stop()
    shifts = shares.in_force_ms(bench.facts)
    result["shift_ms"] = {"count": len(shifts), "median": statistics.median(shifts), "max": max(shifts)}
    print(
        f"  a share is in force after {result['shift_ms']['median']:.0f} ms (median of {len(shifts)}; longest {max(shifts):.0f} ms)"
    )
    if max(shifts) > 50:
        result["missed"].append(f"a share took {max(shifts):.0f} ms, wanted 50 ms")


def broken(bench: Bench) -> None:
    bench.stage.broken.add(("orders", "1.3"))
    bench.apply(bench.change(orders={"to": "1.3", "strategy": "canary", "steps": ["5%", "100%"]}), Exit.ROLLED_BACK)


def counted(bench: Bench, name: str, part: Callable[[], object], result: dict[str, Any]) -> None:
    before, began = bench.stage.counts(), time.monotonic()
    part()
    settle(bench)
    counts = bench.stage.counts().since(before)
    print(line(name, counts, f"{time.monotonic() - began:.1f} s"), flush=True)
    result.setdefault("parts", {})[name] = {
        "total": counts.total,
        "failed": counts.failed,
        "by_design": counts.failed_there,
    }
    if counts.failed:
        seen = bench.stage.load.report()
        result["missed"].append(
            f"{name}: {counts.failed} failed: {seen.reasons}, the client was late by {seen.lag_ms:.0f} ms"
        )
        print(result["missed"][-1], file=sys.stderr, flush=True)


def settle(bench: Bench) -> None:
    """Until what was on its way is counted."""
    seen = bench.stage.load.report().total
    until(lambda: bench.stage.load.report().total > seen + bench.stage.rate)


def kills(bench: Bench, result: dict[str, Any], count: int, seed: int) -> None:
    """kill -9 of the controller at random moments of runs."""
    stage, chance, ends = bench.stage, randomly(seed), list[str]()
    before, left = stage.counts(), count
    while left:
        service = chance.choice(["web", "accounts"])
        name = bench.change(
            **{
                service: {
                    "to": bench.other(service),
                    "strategy": chance.choice(["blue-green", "rolling"]),
                    "bake": "1s",
                }
            }
        )
        working = threading.Thread(target=lambda name=name: ends.append(finish(bench, name)))
        working.start()
        while working.is_alive() and left:
            time.sleep(chance.uniform(0.2, 4.0))
            if working.is_alive():
                stage.kill("controller")
                left -= 1
        working.join()
    settle(bench)
    counts, extra = stage.counts().since(before), bench.duplicates()
    print(
        line(
            f"{count} kill -9 of the controller",
            counts,
            f"{len(ends)} runs: {', '.join(sorted(set(ends)))}; {len(extra)} processes too many",
        )
    )
    result["kills"] = {"count": count, "total": counts.total, "failed": counts.failed, "ends": ends, "too_many": extra}
    if counts.failed or extra or set(ends) - {"completed", "rolled-back"}:
        result["missed"].append(f"kills: {counts.failed} failed, {ends}, {extra}")


def finish(bench: Bench, name: str) -> str:
    try:
        return bench.stage.runs[-1].state if bench.apply(name) else ""
    except HitlessError as failure:
        return failure.text


def deaths(bench: Bench, result: dict[str, Any]) -> None:
    """kill -9 of an instance and of HAProxy."""
    stage = bench.stage
    before = stage.counts()
    name, pid = next(item for item in bench.instances().items() if item[0].startswith("web"))
    status = stage.state / "processes" / name / "status.json"
    began = kill(pid)
    until(lambda: (json.loads(status.read_text())["child"] or {"pid": pid})["pid"] != pid)
    port = json.loads((stage.state / "processes" / name / "spec.json").read_text())["about"]["port"]
    until(lambda: answers(port, "/ready"))
    took = time.monotonic() - began
    settle(bench)
    counts = stage.counts().since(before)
    print(line("kill -9 of an instance", counts, f"ready again after {took * 1000:.0f} ms"))
    result["instance"] = {"back_ms": took * 1000, "failed": counts.failed}
    if took > 2 or counts.failed:
        result["missed"].append(f"instance: {counts.failed} failed, back after {took:.2f} s")
    report = finished(bench, result)
    haproxy(bench, result)
    print(f"  {held(report)}")
    print(
        f"  orders: {len(report.acknowledged)} acknowledged, {len(report.missing or ())} missing; p99 {report.latency_ms['p99']:.0f} ms"
    )


def finished(bench: Bench, result: dict[str, Any]) -> Any:
    report = bench.stage.load.stop()
    counts = bench.stage.counts(report)
    result["requests"] = {"total": counts.total, "failed": counts.failed}
    result["rows"] = {"acknowledged": len(report.acknowledged), "missing": len(report.missing or ())}
    result["held"] = held(report)
    if report.missing or counts.failed:
        result["missed"].append(f"{len(report.missing or ())} rows missing, {counts.failed} requests failed in all")
    print(line("all of it", counts))
    return report


def haproxy(bench: Bench, result: dict[str, Any]) -> None:
    """Kill it with the controller dead; the shares must be those of before. No load: what is in flight dies with it."""
    stage = bench.stage
    change = bench.change(
        web={
            "to": bench.other("web"),
            "strategy": "canary",
            "steps": ["25%", "100%"],
            "bake": "60s",
            "evidence": "none",
            "accept_blind": True,
        }
    )
    path = stage.file.parent / "changes" / f"{change}.yaml"
    run = stage.hitless("apply", "--detach", str(path))["run"]
    until(lambda: "0.25" in json.dumps(stage.hitless("status")["services"]["web"]))
    before = versions(stage.load.profile.port)
    kill(json.loads((stage.state / "processes" / "controller" / "status.json").read_text())["shim"]["pid"])
    kill(int((stage.state / "run" / "controller.pid").read_text()))
    began = kill(int((stage.state / "run" / "gateway.pid").read_text()))
    until(lambda: answers(stage.load.profile.port, "/"))
    took = time.monotonic() - began
    same = versions(stage.load.profile.port) == before
    print(
        f"  kill -9 of HAProxy, controller dead: answers again after {took * 1000:.0f} ms, shares {'the same' if same else 'NOT the same'}"
    )
    result["haproxy"] = {"back_ms": took * 1000, "same_shares": same}
    if took > 1 or not same:
        result["missed"].append(f"HAProxy: back after {took:.2f} s, same shares: {same}")
    stage.hitless("up")
    stage.hitless("abort", run)


def versions(port: int) -> dict[str, str]:
    return {user: get(port, "/", user)[1] for user in (f"user-{number}" for number in range(200))}


def answers(port: int, path: str) -> bool:
    try:
        return get(port, path, "user-1")[0] == 200
    except OSError:
        return False


def get(port: int, path: str, user: str) -> tuple[int, str]:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path, headers={"X-User-Id": user})
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers.get("x-version", "")
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from None
    finally:
        connection.close()


def times(result: dict[str, Any]) -> None:
    """How long commands take."""
    versions_ms = sorted(timed(sys.executable, "-m", "hitless.cli.main", "--version") * 1000 for _ in range(10))
    with running() as bench:
        ups = []
        for _ in range(3):
            bench.stage.hitless("down")
            began = time.monotonic()
            bench.stage.hitless("up")
            ups.append(time.monotonic() - began)
    result["times"] = {"version_ms": statistics.median(versions_ms), "up_s": statistics.median(ups)}
    print(
        f"commands: --version {statistics.median(versions_ms):.0f} ms (longest {versions_ms[-1]:.0f}), up {statistics.median(ups):.1f} s (longest {max(ups):.1f})"
    )
    if statistics.median(versions_ms) > 150 or statistics.median(ups) > 6:
        result["missed"].append(f"commands: {result['times']}")


def timed(*argv: str) -> float:
    began = time.monotonic()
    subprocess.run(argv, check=True, capture_output=True)
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
