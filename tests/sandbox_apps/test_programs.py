"""The rules of the programs: start, configuration, memory, CPU, queues, scripts, images."""

from __future__ import annotations

import contextlib
import random
from typing import Any

import pytest
from hypothesis import given, strategies as st

from healing.sandbox.apps import AppRuntime, latency
from healing.sandbox.apps.process import BaseProcess
from healing.sandbox.apps.program import ConfigKey, Program
from healing.sandbox.apps.server import ServerProcess
from healing.sandbox.apps.shell_syntax import ShellSyntaxError, parse
from healing.sandbox.apps.wiring import Address, parse_address
from healing.sandbox.ports import ContainerStart, Exit

NOW = 1_790_000_000.0
MI = 1 << 20


def start(**changes: Any) -> ContainerStart:
    values: dict[str, Any] = {
        "namespace": "t", "pod_name": "p", "pod_uid": "u", "pod_ip": "10.1.0.7", "node_name": "n", "container": "c",
        "image": "busybox:1.36", "command": [], "args": [], "env": {}, "files": {}, "ports": [],
        "cpu_limit_cores": None, "memory_limit_bytes": None, "cpu_request_cores": 0.0, "memory_request_bytes": 0,
        "restart_count": 0,
    }  # fmt: skip
    return ContainerStart(**(values | changes))


def server(program: Program, **changes: Any) -> ServerProcess:
    def connect(*_: object) -> tuple[bool, str]:
        return False, "no network"

    return ServerProcess(start(**changes), program, NOW, sink=lambda *_: None, connect=connect, rng=random.Random(1))


def run(command: list[str], seconds: float = 60, **changes: Any) -> BaseProcess:
    """A container on busybox, polled twice a second."""
    process = AppRuntime().start(start(command=command, **changes), NOW)
    for half in range(int(seconds * 2) + 1):
        if process.poll(NOW + half / 2):
            break
    return process


def text(process: BaseProcess) -> list[str]:
    return [line.text for line in process.logs()]


# servers


def test_a_server_listens_after_its_start_and_answers_probes() -> None:
    process = server(Program(startup_seconds=2, ports=(8080,)))
    refused = process.http_get(8080, "/healthz", "HTTP")
    assert refused.message == 'Get "http://10.1.0.7:8080/healthz": dial tcp 10.1.0.7:8080: connect: connection refused'
    process.poll(NOW + 1)
    assert not process.tcp_connect(8080).ok
    process.poll(NOW + 2.1)
    assert process.http_get(8080, "/healthz", "HTTP").ok
    assert process.tcp_connect(8080).ok
    assert process.tcp_connect(81).message == "dial tcp 10.1.0.7:81: connect: connection refused"
    assert process.http_get(8080, "/wrong", "HTTP").message == "HTTP probe failed with statuscode: 404"
    assert "listening on port 8080" in text(process)[-1]


def test_a_low_cpu_limit_makes_the_start_slow() -> None:
    process = server(Program(startup_seconds=2, startup_cpu_cores=0.5), cpu_limit_cores=0.1)
    process.poll(NOW + 9)
    assert not process.listening()
    process.poll(NOW + 10.1)
    assert process.listening()


@pytest.mark.parametrize(
    ("wanted", "env", "files", "words"),
    [
        (ConfigKey(env="URL"), {}, {}, "required environment variable URL is not set"),
        (ConfigKey(env="N", pattern=r"\d+"), {"N": "x"}, {}, 'invalid value "x" for N'),
        (ConfigKey(file="/etc/a.yaml"), {}, {}, "open /etc/a.yaml: no such file or directory"),
        (ConfigKey(file="/a", key="db.url"), {}, {"/a": "db: {}"}, "required key db.url is missing in /a"),
        (ConfigKey(file="/a", key="x"), {}, {"/a": "y=1\n"}, "required key x is missing in /a"),
    ],
)
@pytest.mark.parametrize("language", ["java", "python", "go", "node", "c"])
def test_missing_configuration_is_said_and_ends_it(
    wanted: ConfigKey, env: dict[str, str], files: dict[str, str], words: str, language: Any
) -> None:
    process = server(Program(required_config=(wanted,), language=language), env=env, files=files)
    assert process.poll(NOW + 1) == Exit(1, "Error")
    assert any(words in line for line in text(process))


@pytest.mark.parametrize("files", [{"/a": "db:\n  url: x\n"}, {"/a": '{"db": {"url": "x"}}'}, {"/a": "db.url=x"}])
def test_present_configuration_is_enough(files: dict[str, str]) -> None:
    process = server(Program(required_config=(ConfigKey(file="/a", key="db.url"),)), files=files)
    assert process.poll(NOW + 5) is None


def test_memory_above_the_limit_kills() -> None:
    small = server(Program(base_memory_bytes=100 * MI, startup_seconds=1), memory_limit_bytes=60 * MI)
    assert [small.poll(NOW + t / 2) for t in range(4)][-1] == Exit(137, "OOMKilled")
    enough = server(Program(base_memory_bytes=100 * MI, startup_seconds=1), memory_limit_bytes=110 * MI)
    assert enough.poll(NOW + 5) is None


def test_a_leak_takes_as_long_as_the_numbers_say() -> None:
    process = server(
        Program(base_memory_bytes=50 * MI, startup_seconds=0, leak_bytes_per_second=5 * MI), memory_limit_bytes=100 * MI
    )
    lived = next(t for t in range(100) if process.poll(NOW + t))
    assert lived == 11  # 50 + 5 x 11 = 105 > 100


def test_requests_in_flight_need_memory() -> None:
    process = server(Program(startup_seconds=0, memory_bytes_per_request=MI, base_memory_bytes=10 * MI))
    process.poll(NOW + 1)
    process.absorb(100, 1, 4)
    process.settle(1, [(1.0, 1.0)], {}, "")
    process.absorb(100, 1, 4)
    process.poll(NOW + 2)
    assert 100 * MI < process.memory_bytes < 130 * MI  # a hundred a second, a good second each


def test_cpu_above_the_limit_is_throttled_and_queues() -> None:
    program = Program(startup_seconds=0, cpu_seconds_per_request=0.01, base_cpu_cores=0)
    process = server(program, cpu_limit_cores=0.5)
    process.poll(NOW + 0.1)
    for _ in range(5):
        assert process.absorb(30, 1, 0.5) == pytest.approx(30)
        process.settle(1, [], {}, "")
    calm, calm_throttling = process.own_seconds, process.counters.throttled_periods
    assert process.cpu_cores == pytest.approx(0.3)
    assert calm_throttling < 2
    for _ in range(10):
        process.absorb(100, 1, 0.5)  # twice what fits
        process.settle(1, [], {}, "")
    assert process.cpu_cores == pytest.approx(0.5)
    assert process.served_rate == pytest.approx(50, rel=0.01)
    assert process.own_seconds > 10 * calm
    assert process.code_shares["503"] == pytest.approx(0.5, abs=0.05)
    assert process.counters.throttled_periods - calm_throttling == pytest.approx(100)
    assert not process.http_get(8080, "/healthz", "HTTP", timeout_seconds=1).ok
    for _ in range(10):
        process.absorb(5, 1, 0.5)
        process.settle(1, [], {}, "")
    assert process.http_get(8080, "/healthz", "HTTP").ok


def test_a_hog_takes_the_quota_but_does_not_starve_the_requests() -> None:
    process = server(Program(startup_seconds=0, cpu_seconds_per_request=0.005), cpu_limit_cores=0.8)
    process.poll(NOW + 0.1)
    process.absorb(5, 1, 0.8)
    before = process.own_seconds
    process.effects.cpu_cores = 2.0
    for _ in range(30):
        process.absorb(5, 1, 0.8)
        process.settle(1, [], {}, "")
    assert process.cpu_cores == pytest.approx(0.8)
    assert process.counters.throttled_periods > 250
    assert before + 0.04 < process.own_seconds < 0.5  # a pause in most periods, but no queue
    assert process.backlog == 0
    for _ in range(60):  # more than a thread's fair share can do
        process.absorb(80, 1, 0.8)
        process.settle(1, [], {}, "")
    assert process.code_shares["503"] > 0.2


def test_counters_only_rise_and_agree() -> None:
    process = server(Program(startup_seconds=0, error_rate=0.1))
    process.poll(NOW + 0.1)
    for _ in range(10):
        process.absorb(50, 1, 1)
        process.settle(1, [(1.0, 0.2)], {"504": 0.2}, "")
    requests = process.requests
    assert requests.count == pytest.approx(500)
    assert sum(requests.by_code.values()) == pytest.approx(500)
    assert requests.by_code["500"] == pytest.approx(50)
    assert requests.by_code["504"] == pytest.approx(90)
    assert requests.buckets == sorted(requests.buckets)
    assert requests.buckets[-1] <= requests.count + 1e-6


def test_sigterm_ends_gracefully_and_sigkill_does_not() -> None:
    process = server(Program(startup_seconds=0, grace_seconds=0.5))
    process.terminate(NOW + 1)
    assert process.poll(NOW + 1.2) is None
    assert process.poll(NOW + 1.6) == Exit(0, "Completed")
    stubborn = server(Program(ignores_sigterm=True))
    stubborn.terminate(NOW + 1)
    assert stubborn.poll(NOW + 100) is None
    assert stubborn.kill(NOW + 101) == Exit(137, "Error")


# scripts


@pytest.mark.parametrize(
    ("command", "code", "lines"),
    [
        (["sh", "-c", "echo no; exit 3"], 3, ["no"]),
        (["false"], 1, []),
        (["/bin/true"], 0, []),
        (["sh", "-c", "exit"], 0, []),
        (["sh", "-c", "echo a && false && echo b || echo c; echo d"], 0, ["a", "c", "d"]),
        (["sh", "-c", "set -e\nfalse\necho never"], 1, []),
        (["sh", "-ec", "false || true; echo on; [ -f /nope ]; echo never"], 1, ["on"]),
        (["sh", "-c", 'X=5; if [ "$X" -gt 3 ]; then echo "big $X"; else echo small; fi'], 0, ["big 5"]),
        (["sh", "-c", "for i in 1 2 3; do echo $i; done; exit 7"], 7, ["1", "2", "3"]),
        (["sh", "-c", "i=0; while [ $i -lt 3 ]; do i=$((i+1)); sleep 1; done; echo $i"], 0, ["3"]),
        (["sh", "-c", "echo 'it''s $HOME' \"$NAME\" ${MISSING:-default}"], 0, ["its $HOME orders default"]),
        (["sh", "-c", "cat /etc/app.conf | grep -i PORT"], 0, ["port=1"]),
        (["sh", "-c", "echo x > /tmp/f; cat /tmp/f; rm /tmp/f; cat /tmp/f 2>/dev/null || echo gone"], 0, ["x", "gone"]),
        (["sh", "-c", "echo oops >&2; false"], 1, ["oops"]),
        (["sh", "-c", "! true"], 1, []),
        (["sh", "-c", "(exit 4); echo $(hostname)"], 0, ["p"]),
        (["sh", "-c", "nosuchcommand"], 127, ["sh: nosuchcommand: not found"]),
        (["sh", "-c", "if true; then echo"], 2, ['sh: syntax error: unexpected end of file (expecting "fi")']),
        (["sh", "-c", "nc -z db 5432 || echo no database; exit 1"], 1, ["nc: bad address 'db'", "no database"]),
        ([], 0, []),
    ],
)
def test_scripts(command: list[str], code: int, lines: list[str]) -> None:
    process = run(command, env={"NAME": "orders"}, files={"/etc/app.conf": "host=a\nport=1\n"})
    assert process.exit == Exit(code, "Completed" if code == 0 else "Error")
    assert text(process) == lines


def test_sleeping_takes_time_and_ignores_sigterm() -> None:
    process = AppRuntime().start(start(command=["sleep", "30"]), NOW)
    assert process.poll(NOW + 29) is None
    assert process.poll(NOW + 30) == Exit(0, "Completed")
    process = AppRuntime().start(start(command=["sleep", "3600"]), NOW)
    process.terminate(NOW + 1)
    assert process.poll(NOW + 10) is None


def test_a_background_job_runs_beside_the_main_one() -> None:
    process = AppRuntime().start(start(command=["sh", "-c", "touch /tmp/ok; (sleep 12; rm /tmp/ok) & sleep 3600"]), NOW)
    process.poll(NOW + 1)
    assert process.exec(["cat", "/tmp/ok"]).ok
    process.poll(NOW + 13)
    failed = process.exec(["cat", "/tmp/ok"])
    assert failed.message == "cat: can't open '/tmp/ok': No such file or directory\n"


def test_eating_memory_and_spinning() -> None:
    eater = run(["sh", "-c", "echo loading cache; sleep 3; exec tail /dev/zero"], memory_limit_bytes=32 * MI)
    assert eater.exit == Exit(137, "OOMKilled")
    assert text(eater) == ["loading cache"]
    spinner = run(["sh", "-c", "while true; do :; done"], seconds=10, cpu_limit_cores=0.2)
    assert spinner.usage().cpu_cores == pytest.approx(0.2)
    assert spinner.counters.throttled_periods > 50


def test_a_script_may_end_in_the_images_program() -> None:
    runtime = AppRuntime()
    process = runtime.start(
        start(image="nginx:1.27", command=["sh", "-c", "sleep 2; exec nginx -g 'daemon off;'"]), NOW
    )
    for second in range(6):
        process.poll(NOW + second)
    assert process.http_get(80, "/", "HTTP").ok
    process.terminate(NOW + 6)
    process.poll(NOW + 6)
    assert process.poll(NOW + 8) == Exit(0, "Completed")


@pytest.mark.parametrize(
    ("image", "command", "words"),
    [
        ("registry.local/web:1.0", ["/usr/bin/server"], 'exec: "/usr/bin/server": stat /usr/bin/server: no such file'),
        ("nginx:1.27", ["serve"], 'exec: "serve": executable file not found in $PATH: unknown'),
        ("registry.k8s.io/pause:3.9", ["sh", "-c", "exit 1"], 'exec: "sh": executable file not found in $PATH'),
    ],
)
def test_a_command_that_is_not_there(image: str, command: list[str], words: str) -> None:
    outcome = AppRuntime().start(start(image=image, command=command), NOW).poll(NOW)
    assert outcome is not None
    assert outcome.code == 128
    assert words in outcome.start_error
    assert outcome.start_error.startswith("failed to create containerd task: failed to create shim task: OCI runtime")


@given(st.text(alphabet=st.sampled_from("abc $'\"\\;&|(){}<>\n#=ifthenfidoneo"), max_size=40))
def test_any_script_is_read_or_refused(script: str) -> None:
    with contextlib.suppress(ShellSyntaxError):  # anything else would crash a kubelet
        parse(script)


# addresses and latencies


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("http://payments:8080/x", Address("http", "payments", 8080, path="/x")),
        ("https://payments", Address("https", "payments", 443, tls=True)),
        ("postgres://shop:pw@db/shop", Address("postgres", "db", 5432, "shop", "pw", "/shop")),
        ("cache:6379", Address("tcp", "cache", 6379)),
        ("kafka-0:9092,kafka-1:9092", Address("tcp", "kafka-0", 9092)),
        ("http://payments:80x", None),
        ("info", None),
        ("", None),
    ],
)
def test_addresses(value: str, address: Address | None) -> None:
    assert parse_address(value) == address


def test_a_slow_third_shows_in_the_tail_only() -> None:
    mixture = latency.compact([(1 / 3, 3.0), (2 / 3, 0.01)])
    assert latency.quantile(mixture, 0.5, 0.45) < 0.05
    assert latency.quantile(mixture, 0.9, 0.45) > 2
    assert latency.share_below(mixture, 0.5, 0.45) == pytest.approx(2 / 3, abs=0.01)


@given(st.lists(st.tuples(st.floats(0.01, 1), st.floats(0.0001, 100)), min_size=1, max_size=30))
def test_compacting_keeps_weight_and_mean(parts: list[tuple[float, float]]) -> None:
    total = sum(weight for weight, _ in parts)
    mixture = latency.compact(parts)
    assert len(mixture) <= latency.MAX_PARTS
    assert sum(weight for weight, _ in mixture) == pytest.approx(1)
    expected = sum(weight * seconds for weight, seconds in parts) / total
    assert latency.mean(mixture) == pytest.approx(expected, rel=0.02)
