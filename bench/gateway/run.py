"""Throughput of the gateway's configuration against the same HAProxy with a bare one, and what each feature costs.

    python bench/gateway/run.py [--rounds 3] [--seconds 4] [--connections 32] [--json]

Every variant is measured once per round, in turn, with the load (wrk), the instances and the log reader on the same
machine; its figure is the median over the rounds of its throughput divided by the bare one's in the same round. The
features are measured by leaving each out of the whole configuration; CPU is the least of the rounds, because whatever
else the machine does can only add to it. Needs `wrk` (Debian: apt-get install wrk).
"""

import argparse
import json
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hitless.kit.units import Share
from hitless.plan.instances import InstanceId
from hitless.plan.system import read_system
from hitless.traffic.binary import find_haproxy, version_of
from hitless.traffic.config import GatewayConfig
from hitless.traffic.layout import CONFIG
from hitless.traffic.memory import Memory
from hitless.traffic.ports import Place
from hitless.traffic.steps import Routing

SYSTEM = """
system: bench
gateway: {{ listen: "127.0.0.1:{0}", internal: "127.0.0.1:{1}", user: "header:X-User-Id" }}
control: {{ listen: "127.0.0.1:{2}", grpc: "127.0.0.1:{3}" }}
groups: {{ staff: {{ users: [ann, ben] }} }}
services:
  orders: {{ route: /orders, run: [orders], version: "1.0" }}
  web: {{ route: /, run: [web], version: "1.0" }}
  accounts: {{ route: /accounts, run: [accounts], version: "1.0" }}
"""

# What is left out of the whole configuration, as patterns of lines.
FEATURES = {
    "record of each request": (r"log ring@", "log-format"),
    "trace id": (r"txn\.trace",),
    "user in baggage": (r"baggage",),
    "X-Forwarded-*": (r"x-forwarded", r"forwarded"),
    "retries where safe": (r"retry-on", r"disable-l7-retry", r"wait-for-body", r"acl idempotent", r"acl keyed"),
    "bound on the first byte": (r"tcp-response", r"txn\.late", r"txn\.begun", r"txn\.upload"),
    "user and bucket for services": (r"set-header x-hitless", r"del-header x-hitless"),
    "groups": (r"txn\.group\) var",),
    "watching and standing in": (r"^    server r\d",),
}

UNRECORDED = ("bare", "without record of each request")

BARE = """
global
    fd-hard-limit 40000
    stats socket 'unix@run/haproxy.sock' mode 600 level admin
defaults
    mode http
    timeout connect 1s
    timeout client 1h
    timeout server 1h
    http-reuse safe
frontend public
    bind 127.0.0.1:{port}
    default_backend orders
backend orders
    balance leastconn
    server i1 127.0.0.1:{first}
    server i2 127.0.0.1:{second}
"""

# The instances must be much faster than what is measured: HAProxy itself, which answers from memory.
INSTANCES = """
global
    nbthread 1
defaults
    mode http
    timeout client 1h
frontend instances
    bind 127.0.0.1:{first}
    bind 127.0.0.1:{second}
    http-request return status 200 content-type text/plain string "{body}"
"""


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in listeners]


@contextmanager
def process(*argv: str, cwd: Path, port: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    with (cwd / "log").open("ab") as log:
        running = subprocess.Popen(argv, cwd=cwd, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 10
        while port is not None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if time.monotonic() > deadline or running.poll() is not None:
                    raise SystemExit(f"{argv[0]} does not listen:\n{(cwd / 'log').read_text()[-2000:]}") from None
                time.sleep(0.02)
        yield running
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()


def without(text: str, patterns: tuple[str, ...]) -> str:
    """Leave the lines of a feature out; the format of the record is a line of its own feature alone."""

    def goes(line: str) -> bool:
        return any(re.search(each, line) for each in patterns if "log-format" not in line or each == "log-format")

    return "\n".join(line for line in text.splitlines() if not goes(line)) + "\n"


def load(port: int, connections: int, seconds: int) -> float:
    """Return requests per second; a request that fails ends the benchmark."""
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-H", "X-User-Id: user-17"]
    said = subprocess.run([*argv, f"http://127.0.0.1:{port}/orders/1"], check=True, capture_output=True, text=True)
    if "Non-2xx" in said.stdout or "Socket errors" in said.stdout:
        raise SystemExit(said.stdout)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", said.stdout)[1])  # type: ignore[index]


def requests_of(state: Path) -> int:
    """Return how many requests this HAProxy has had."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(state / "run" / "haproxy.sock"))
        connection.sendall(b"show info\n")
        text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    return int(re.search(r"CumReq: (\d+)", text)[1])  # type: ignore[index]


def recorded(recorder: Path) -> tuple[int, int]:
    """Return how many requests the reader has counted since it was started, and what it says was lost."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(recorder))
        connection.sendall(b'{"since": 0}\n')
        lines = connection.makefile("rb")
        requests = lost = 0
        until = time.time() - 2
        for line in lines:
            second = json.loads(line)
            requests += sum(arm[2] for arm in second["arms"])
            lost += second["lost"] if second["arms"] else 0  # while nothing is sent the reader calls silence a loss
            if second["at"] >= until:
                return requests, lost
    raise SystemExit("the recorder hung up")


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def variants(folder: Path, haproxy: Path, reader_port: int, first: int, second: int) -> dict[str, int]:
    """Write the files of each variant; returns their public ports."""
    ports = {}
    names = ["bare", "whole", *(f"without {name}" for name in FEATURES)]
    for name in names:
        public, *others = free_ports(4)
        state = folder / name
        (state / "run").mkdir(parents=True)
        (state / "gateway").mkdir()
        if name == "bare":
            (state / CONFIG).write_text(BARE.format(port=public, first=first, second=second))
        else:
            places = {InstanceId("orders", "a", 1): first, InstanceId("orders", "b", 1): second}
            routing = Routing(
                service="orders", baseline="a", share=Share(500), salt="r1", version_a="1.0", version_b="1.1"
            )
            memory = Memory(
                routings={"orders": routing},
                places={each: Place(port=port, state="ready") for each, port in places.items()},
            )
            config = GatewayConfig(
                system=read_system(SYSTEM.format(public, *others), file="bench"),
                memory=memory,
                recorder_port=reader_port,
                version=version_of(haproxy),
                groups={"staff": ("ann", "ben")},
            )
            for path, content in config.files().items():
                (state / path).write_text(content)
            if name != "whole":
                file = state / CONFIG
                file.write_text(without(file.read_text(), FEATURES[name.removeprefix("without ")]))
        ports[name] = public
    return ports


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, object]:
    haproxy = find_haproxy()
    first, second, reader_port = free_ports(3)
    ports = variants(folder, haproxy, reader_port, first, second)
    (folder / "instances.cfg").write_text(INSTANCES.format(first=first, second=second, body="x" * 200))
    rates: dict[str, list[float]] = {name: [] for name in ports}
    costs: dict[str, list[float]] = {name: [] for name in ports}  # CPU time of HAProxy, microseconds each request
    requests, reader_us = 0, []
    reader_argv = (sys.executable, "-m", "hitless.app.recorder", str(reader_port), str(folder / "recorder.sock"))
    with (
        process(str(haproxy), "-db", "-f", "instances.cfg", cwd=folder, port=first),
        process(*reader_argv, cwd=folder, port=reader_port) as reader,
    ):
        for _ in range(arguments.rounds):
            for name, port in ports.items():
                with process(str(haproxy), "-db", "-f", CONFIG, cwd=folder / name, port=port) as gateway:
                    load(port, arguments.connections, 1)
                    had, used_s, reader_s = requests_of(folder / name), cpu_s(gateway.pid), cpu_s(reader.pid)
                    rates[name].append(load(port, arguments.connections, arguments.seconds))
                    time.sleep(1)  # for what waits in the ring
                    now = requests_of(folder / name)
                    costs[name].append((cpu_s(gateway.pid) - used_s) / (now - had) * 1e6)
                    if name not in UNRECORDED:
                        requests += now
                        reader_us.append((cpu_s(reader.pid) - reader_s) / (now - had) * 1e6)
        time.sleep(4)  # a second is closed a second after its end
        counted, lost = recorded(folder / "recorder.sock")
    ratios = {
        name: statistics.median(mine / bare for mine, bare in zip(each, rates["bare"], strict=True))
        for name, each in rates.items()
    }
    return {
        "haproxy": ".".join(map(str, version_of(haproxy))),
        "rounds": arguments.rounds,
        "per_second": {name: round(statistics.median(each)) for name, each in rates.items()},
        "ratio": {name: round(ratio, 3) for name, ratio in ratios.items()},
        "cpu_us": {name: round(min(each), 2) for name, each in costs.items()},
        "records": {
            "requests": requests,
            "counted": counted,
            "said_lost": lost,
            "reader_us": round(statistics.median(reader_us), 1),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("this benchmark needs wrk (Debian: apt-get install wrk)")
    folder = Path(tempfile.mkdtemp(prefix="hitless-bench-"))
    try:
        result = measure(arguments, folder)
    finally:
        shutil.rmtree(folder)
    if arguments.json:
        print(json.dumps(result))
        return
    ratio, per_second, cpu_us, records = (result[key] for key in ("ratio", "per_second", "cpu_us", "records"))
    print(f"HAProxy {result['haproxy']}, median of {arguments.rounds} rounds; CPU is of HAProxy alone")
    for name in ("bare", "whole"):
        print(f"{name:<34}{per_second[name]:>8}/s  {ratio[name]:.3f} of bare  {cpu_us[name]:>6.2f} us a request")
    for name in FEATURES:
        cost = cpu_us["whole"] - cpu_us[f"without {name}"]
        print(f"  costs {name:<32}{cost:>+7.2f} us  {ratio['without ' + name] - ratio['whole']:>+8.3f}")
    print(
        f"records: {records['counted']} counted of {records['requests']} requests, "
        f"{records['said_lost']} said to be lost; the reader takes {records['reader_us']} us each"
    )
    whole = records["counted"] >= records["requests"] * 0.9999 and not records["said_lost"]
    print("target 0.60, goal 0.75:", "reached" if ratio["whole"] >= 0.6 and whole else "NOT reached")


if __name__ == "__main__":
    main()
