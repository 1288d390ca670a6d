"""Every import rule is broken once on purpose, in a copy of the tree, and is seen to fail."""

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture import ROOT

PACKAGES = ("contracts", "streaming", "rulebook", "services", "verification", "pfdo", "tests")

# rule, the file that breaks it, the line that does
BREACHES = [
    ("floors", "contracts/envelope.py", "import streaming.bus"),
    ("floors", "streaming/bus.py", "import rulebook.model"),
    ("floors", "rulebook/model.py", "import services.billing.domain"),
    ("floors", "services/billing/wire.py", "import verification.purses"),
    ("services-apart", "services/billing/wire.py", "import services.enrollment.wire"),
    ("services-apart", "services/cabinet/breach.py", "import services.billing.domain"),
    ("inside-a-service", "services/billing/wire.py", "import services.billing.service"),
    ("inside-a-service", "services/certificates/helpers.py", "import functools"),
    ("pure-domain", "services/billing/domain/breach.py", "import pydantic"),
    ("pure-domain", "services/enrollment/domain/breach.py", "import asyncio"),
    ("pure-domain", "services/certificates/domain/breach.py", "import contracts.billing"),
    ("pure-domain", "services/notifications/domain/breach.py", "import rulebook.loading"),
    ("pure-rulebook", "rulebook/evaluate.py", "import pathlib"),
    ("pure-rulebook", "rulebook/model.py", "import rulebook.loading"),
    ("contracts-alone", "contracts/billing.py", "import redis"),
    ("plain-vocabulary", "contracts/vocabulary.py", "import pydantic"),
    ("no-business-in-streaming", "streaming/processor.py", "import contracts.billing"),
    ("redis-in-streaming", "services/billing/app.py", "import redis"),
    ("redis-in-streaming", "services/cabinet/breach.py", "import redis"),
    ("kafka-in-streaming", "services/billing/app.py", "import aiokafka"),
    ("kafka-in-streaming", "pfdo/breach.py", "import faststream"),
    ("nothing-imports-the-command-line", "services/cabinet/breach.py", "import pfdo"),
    ("auditor-alone", "tests/auditor/breach.py", "import services.billing.domain"),
    ("auditor-alone", "tests/auditor/breach.py", "import tests.support.world"),
    ("auditor-alone", "tests/auditor/breach.py", "import pydantic"),
    ("verification-alone", "verification/purses.py", "import services.billing.domain.purse"),
    ("verification-alone", "verification/chain.py", "import streaming.journal"),
    ("verification-alone", "verification/money.py", "import contracts.billing"),
    ("no-cycles", "services/billing/domain/account.py", "import services.billing.domain.reserving"),
    ("floors-of-contracts", "contracts/utils.py", "import enum"),
    ("floors-of-streaming", "streaming/utils.py", "import enum"),
    ("floors-of-rulebook", "rulebook/utils.py", "import enum"),
]


def rules() -> dict[str, str]:
    """Return the name of each rule of `.importlinter` by its id."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter", encoding="utf-8")
    prefix = "importlinter:contract:"
    return {
        section.removeprefix(prefix): parser[section]["name"]
        for section in parser.sections()
        if section.startswith(prefix)
    }


def lint(tree: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache", *options]
    return subprocess.run(
        command, cwd=tree, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a copy of everything that the rules are about."""
    shutil.copy(ROOT / ".importlinter", tmp_path)
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package,
            tmp_path / package,
            ignore=lambda folder, names: [
                name for name in names if (Path(folder) / name).is_file() and name[-3:] != ".py"
            ],
        )
    return tmp_path


def test_the_tree_as_it_is_keeps_every_rule(tree: Path) -> None:
    done = lint(tree)

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Contracts: {len(rules())} kept, 0 broken." in done.stdout


@pytest.mark.parametrize(("rule", "path", "line"), BREACHES, ids=str)
def test_a_breach_is_named(tree: Path, rule: str, path: str, line: str) -> None:
    with (tree / path).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")

    done = lint(tree, "--contract", rule)

    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{rules()[rule]} BROKEN" in done.stdout
    assert Path(path).stem in done.stdout
    assert "Contracts: 0 kept, 1 broken." in done.stdout


@pytest.mark.parametrize("package", [*PACKAGES[:-1], "tests/auditor"])
def test_every_folder_of_code_is_a_package(package: str) -> None:
    """Without `__init__.py` a folder is looked for all over the path, and the rules miss it."""
    folders = {path.parent for path in (ROOT / package).rglob("*.py")}

    assert folders
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_every_rule_is_broken_once() -> None:
    assert {rule for rule, _, _ in BREACHES} == set(rules())
