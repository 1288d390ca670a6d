"""The list of planted faults fits the code, and the replay tells what is not caught."""

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.mutations.__main__ import main
from tests.mutations.listing import ROOT, read, stale

pytestmark = pytest.mark.slow

MUTATIONS = read()
AREAS = (
    "contracts/",
    "rulebook/",
    "services/billing/",
    "services/cabinet/",
    "services/certificates/",
    "services/enrollment/",
    "services/notifications/",
    "streaming/",
)
RULE = re.compile(r"(?:[1-9]|11)(, .+)?|docs/[a-z]+\.md.*|ARCHITECTURE\.md")


def test_the_list_is_whole() -> None:
    assert len(MUTATIONS) >= 200
    assert all(any(one.file.startswith(area) for one in MUTATIONS) for area in AREAS)
    assert [id_ for id_, times in Counter(one.id for one in MUTATIONS).items() if times > 1] == []
    for one in MUTATIONS:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", one.id)
        assert one.old != one.new
        assert one.breaks
        assert RULE.fullmatch(one.rule), one.id


def test_every_old_text_stands_exactly_once() -> None:
    assert [f"{one.id}: {why}" for one in MUTATIONS if (why := stale(one))] == []


def test_every_named_test_is_there() -> None:
    for one in MUTATIONS:
        assert one.tests
        for test in one.tests:
            file, _, function = test.partition("::")
            text = (ROOT / file).read_text(encoding="utf-8")
            assert f"def {function}(" in text, f"{one.id}: {test}"


PLANTED = """
[[mutation]]
id = "caught"
breaks = "A payer is on another partition"
rule = "ARCHITECTURE.md"
file = "streaming/routing.py"
old = '(murmur2(key) & 0x7FFFFFFF) % partitions'
new = 'murmur2(key) % partitions'
tests = ["tests/streaming/test_routing.py::test_the_sign_is_dropped_before_the_remainder"]

[[mutation]]
id = "survivor"
breaks = "A comment is all there is"
rule = "ARCHITECTURE.md"
file = "streaming/routing.py"
old = '_SEED = 0x9747B28C'
new = '_SEED = 0x9747B28C  # Kafka knows why.'
tests = ["tests/streaming/test_routing.py::test_the_sign_is_dropped_before_the_remainder"]

[[mutation]]
id = "stale"
breaks = "The code has moved on"
rule = "ARCHITECTURE.md"
file = "streaming/routing.py"
old = 'this text stands nowhere'
new = ''
tests = ["tests/streaming/test_routing.py::test_the_sign_is_dropped_before_the_remainder"]

[[mutation]]
id = "defect"
breaks = "The code stops, and no test asserts anything"
rule = "ARCHITECTURE.md"
file = "streaming/routing.py"
old = 'length = len(data)'
new = 'length = data.length'
tests = ["tests/streaming/test_routing.py::test_the_sign_is_dropped_before_the_remainder"]

[[mutation]]
id = "crash"
breaks = "The module cannot be imported"
rule = "ARCHITECTURE.md"
file = "streaming/routing.py"
old = '_MASK = 0xFFFFFFFF'
new = '_MASK = unknown'
tests = ["tests/streaming/test_routing.py::test_the_sign_is_dropped_before_the_remainder"]

[[mutation]]
id = "elsewhere"
breaks = "Something these tests do not import"
rule = "ARCHITECTURE.md"
file = "services/billing/domain/frame.py"
old = '<= self.limit_kopecks'
new = '< self.limit_kopecks'
tests = ["tests/streaming/test_routing.py::test_the_sign_is_dropped_before_the_remainder"]
"""


def replayed(directory: Path, planted: str) -> int:
    listed = directory / "list.toml"
    listed.write_text(planted, encoding="utf-8")
    return main(["--list", str(listed), "--jobs", "1"])


def test_what_is_not_caught_by_an_assertion_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (ROOT / "streaming/routing.py").read_bytes()

    status = replayed(tmp_path, PLANTED)

    told = {
        line.partition(" ")[0]: line
        for line in capsys.readouterr().out.splitlines()
        if re.match(r"\S+ +\d+\.\d s ", line)
    }
    assert status == 1
    assert list(told) == ["caught", "survivor", "stale", "defect", "crash", "elsewhere"]
    assert "  streaming/test_routing.py::test_the_sign_is_dropped" in told["caught"]
    assert "SURVIVED: " in told["survivor"]
    assert "STALE: the old text stands 0 times in streaming/routing.py" in told["stale"]
    assert "broke by AttributeError in streaming/routing.py" in told["defect"]
    assert "BROKEN: pytest ended with " in told["crash"]
    assert "BROKEN: services/billing/domain/frame.py is not what" in told["elsewhere"]
    assert (ROOT / "streaming/routing.py").read_bytes() == before


def test_a_baseline_that_fails_says_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = PLANTED.replace("test_the_sign_is_dropped_before_the_remainder", "test_nothing")

    assert replayed(tmp_path, gone) == 2
    assert "without any fault the tests do not pass" in capsys.readouterr().err
