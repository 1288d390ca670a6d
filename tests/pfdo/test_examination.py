"""What `pfdo doctor` reads off the metrics of the cabinet."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from prometheus_client import generate_latest

from pfdo import examination
from streaming.settings import Settings
from streaming.telemetry import Telemetry
from tests.support.containers import free_port


class Served:
    """A process that tells its metrics, and its settings for who asks."""

    def __init__(self) -> None:
        self.telemetry = Telemetry()
        registry = self.telemetry.registry

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(generate_latest(registry))

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.settings = Settings(
            port=free_port(), cabinet_url=f"http://127.0.0.1:{self.server.server_port}"
        )

    def found(self) -> dict[str, tuple[str, bool]]:
        findings = examination._told(self.settings)
        return {each["what"]: (each["found"], each["ok"]) for each in findings}


@pytest.fixture
def served() -> Iterator[Served]:
    process = Served()
    thread = threading.Thread(target=process.server.serve_forever)
    thread.start()
    yield process
    process.server.shutdown()
    thread.join()
    process.server.server_close()


def test_who_waits_for_what_it_needs_is_named(served: Served) -> None:
    trouble = served.telemetry.unsettled_seconds
    trouble.labels("vault", "").set(12.6)
    trouble.labels("cabinet", "3").set(125000.0)
    trouble.labels("cabinet", "4").set(0)

    assert served.found() == {
        "vault": ("waits for what it needs, 13 s", False),
        "cabinet 3": ("waits for what it needs, 125000 s", False),
    }


def test_a_partition_that_waits_for_a_person_is_named(served: Served) -> None:
    served.telemetry.halted.labels("cabinet", "1").set(1)
    served.telemetry.halted.labels("cabinet", "2").set(0)

    assert served.found() == {"partition 1 of cabinet": ("halted", False)}


def test_who_does_not_answer_says_nothing(served: Served) -> None:
    served.settings = Settings(port=free_port(), cabinet_url=f"http://127.0.0.1:{free_port()}")

    assert served.found() == {}
