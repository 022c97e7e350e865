"""Throughput of the gateway's configuration against the same HAProxy with a bare one, and what each feature costs.

    python bench/gateway/run.py [--rounds 5] [--connections 32] [--json]

All variants run at the same time, but only one at a time is awake (the others are stopped by a signal). Each round
loads each variant for a second (the whole one three times), directly after a second of the bare one; a figure is the
median of the quotients of the two, so that what else the machine does hits both. Load (wrk), instances and log reader are on the same
machine. A feature is measured by leaving it out of the whole configuration. At the end the whole configuration is
loaded alone, and its requests are compared with the records that arrived. Needs `wrk` (Debian: apt-get install wrk).
"""

import argparse
import csv
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
from dataclasses import dataclass
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

# What is left out, as patterns of lines of the system file and of the configuration made from it.
FEATURES = {
    "record of each request": (r"log ring@", "log-format"),
    "trace id": (r"traceparent",),
    "user in baggage": (r"baggage",),
    "X-Forwarded-*": (r"x-forwarded", r"forwarded"),
    "retries where safe": (r"retry-on", r"disable-l7-retry", r"wait-for-body", r"acl idempotent", r"acl keyed"),
    "bound on the first byte": (r"tcp-response", r"txn\.late", r"txn\.begun", r"txn\.upload"),
    "user and bucket for services": (r"set-header x-hitless", r"del-header x-hitless"),
    "groups": (r"^groups:",),  # a line of the system file
    "watching and standing in": (r"^    server r\d",),
}

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
    """Return how many requests this HAProxy has sent to a version."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(state / "run" / "haproxy.sock"))
        connection.sendall(b"show stat\n")
        table = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    rows = csv.DictReader(table.lstrip("# ").splitlines())
    return sum(int(row["req_tot"]) for row in rows if row["pxname"].startswith("orders") and row["svname"] == "BACKEND")


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
            left_out = FEATURES.get(name.removeprefix("without "), ())
            places = {InstanceId("orders", "a", 1): first, InstanceId("orders", "b", 1): second}
            routing = Routing(
                service="orders", baseline="a", share=Share(500), salt="r1", version_a="1.0", version_b="1.1"
            )
            memory = Memory(
                routings={"orders": routing},
                places={each: Place(port=port, state="ready") for each, port in places.items()},
            )
            config = GatewayConfig(
                system=read_system(without(SYSTEM.format(public, *others), left_out), file="bench"),
                memory=memory,
                recorder_port=reader_port,
                version=version_of(haproxy),
                groups={"staff": ("ann", "ben")},
            )
            for path, content in config.files().items():
                (state / path).write_text(content)
            (state / CONFIG).write_text(without(config.text(), left_out))
        ports[name] = public
    return ports


@dataclass
class Slice:
    """One second of load on one HAProxy."""

    rate: float  # requests per second
    cpu_us: float  # of HAProxy, for each request


class Bench:
    """All the processes, of which one gateway at a time is awake."""

    def __init__(self, folder: Path, stack: ExitStack, connections: int) -> None:
        self.haproxy = find_haproxy()
        first, second, self.reader_port = free_ports(3)
        self.folder, self.connections = folder, connections
        self.ports = variants(folder, self.haproxy, self.reader_port, first, second)
        (folder / "instances.cfg").write_text(INSTANCES.format(first=first, second=second, body="x" * 200))
        instances = (str(self.haproxy), "-db", "-f", "instances.cfg")
        recorder = (sys.executable, "-m", "hitless.app.recorder", str(self.reader_port), str(folder / "recorder.sock"))
        stack.enter_context(process(*instances, cwd=folder, port=first))
        self.reader = stack.enter_context(process(*recorder, cwd=folder, port=self.reader_port))
        self.gateways = {
            name: stack.enter_context(process(str(self.haproxy), "-db", "-f", CONFIG, cwd=folder / name, port=port))
            for name, port in self.ports.items()
        }
        for gateway in self.gateways.values():
            gateway.send_signal(signal.SIGSTOP)

    @contextmanager
    def awake(self, name: str) -> Iterator[None]:
        self.gateways[name].send_signal(signal.SIGCONT)
        try:
            yield
        finally:
            self.gateways[name].send_signal(signal.SIGSTOP)

    def slice(self, name: str, seconds: int = 1) -> Slice:
        with self.awake(name):
            time.sleep(0.2)  # for the checks that it missed
            had, used_s = requests_of(self.folder / name), cpu_s(self.gateways[name].pid)
            rate = load(self.ports[name], self.connections, seconds)
            time.sleep(0.3)  # for records that wait in the ring
            requests = requests_of(self.folder / name) - had
            return Slice(rate, (cpu_s(self.gateways[name].pid) - used_s) / requests * 1e6)

    def records(self, seconds: int) -> dict[str, object]:
        """Load the whole configuration alone and compare its requests with what the reader counted."""
        time.sleep(3)  # a second is closed a second after its end
        before, _ = recorded(self.folder / "recorder.sock")
        had, used_s = requests_of_awake(self, "whole"), cpu_s(self.reader.pid)
        with self.awake("whole"):
            rate = load(self.ports["whole"], self.connections, seconds)
            time.sleep(4)
            requests = requests_of(self.folder / "whole") - had
            counted = recorded(self.folder / "recorder.sock")[0] - before
        reader_us = (cpu_s(self.reader.pid) - used_s) / requests * 1e6
        return {"requests": requests, "lost": requests - counted, "rate": round(rate), "reader_us": round(reader_us, 1)}


def requests_of_awake(bench: Bench, name: str) -> int:
    with bench.awake(name):
        return requests_of(bench.folder / name)


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, object]:
    with ExitStack() as stack:
        bench = Bench(folder, stack, arguments.connections)
        pairs: dict[str, list[tuple[Slice, Slice]]] = {name: [] for name in bench.ports if name != "bare"}
        names = ["whole", *pairs, "whole"]  # the whole one is what counts: three times a round
        for number in range(arguments.rounds):
            turn = number * 3 % len(names)  # nobody always follows the same one
            for name in names[turn:] + names[:turn]:
                pairs[name].append((bench.slice("bare"), bench.slice(name)))
        records = bench.records(5)
    ratios = {name: statistics.median(b.rate / a.rate for a, b in each) for name, each in pairs.items()}
    more_us = {name: statistics.median(b.cpu_us - a.cpu_us for a, b in each) for name, each in pairs.items()}
    bare = [a for each in pairs.values() for a, _ in each]
    return {
        "haproxy": ".".join(map(str, version_of(bench.haproxy))),
        "rounds": arguments.rounds,
        "bare": {
            "rate": round(statistics.median(a.rate for a in bare)),
            "cpu_us": round(min(a.cpu_us for a in bare), 1),
        },
        "ratio": {name: round(ratio, 3) for name, ratio in ratios.items()},
        "more_cpu_us": {name: round(us, 2) for name, us in more_us.items()},
        "records": records,
    }


def main() -> int:
    """Print the table; returns 1 if it falls short."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
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
        return 0
    bare, ratio, more_us, records = (result[key] for key in ("bare", "ratio", "more_cpu_us", "records"))
    print(f"HAProxy {result['haproxy']}, {arguments.rounds} rounds; CPU is of HAProxy alone, for each request")
    print(f"bare   {bare['rate']:>8}/s  {bare['cpu_us']:.1f} us")
    print(f"whole  {ratio['whole']:.3f} of bare  {more_us['whole']:+.1f} us")
    for name in FEATURES:
        cost_us, cost = more_us["whole"] - more_us[f"without {name}"], ratio[f"without {name}"] - ratio["whole"]
        print(f"  of this {name:<32}{cost_us:>+7.2f} us  {cost:>+8.3f}")
    print(
        f"records: {records['lost']} of {records['requests']} lost at {records['rate']}/s; "
        f"the reader takes {records['reader_us']} us each"
    )
    reached = ratio["whole"] >= 0.6 and records["lost"] == 0
    print("target 0.60 (goal 0.75) and no record lost:", "reached" if reached else "NOT reached")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
