"""Ask pip-audit about every locked package, and fail on a known vulnerability.

A service that cannot be reached is no vulnerability: that is said, and the check goes on. So is a
package that the service does not know, since "nothing found" about it would mean nothing.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LOCKS = ("runtime.txt", "tools.txt")
UNREACHABLE = ("ConnectionError", "ConnectTimeout", "ReadTimeout", "ServiceError", "ProxyError")
SECONDS_MAX = 180


def judge(report: Mapping[str, Any]) -> tuple[list[str], bool]:
    """Return what to say about a report of pip-audit (JSON), and whether it is good news."""
    packages = report["dependencies"]
    skipped = [package for package in packages if "skip_reason" in package]
    lines = []
    for package in packages:
        for found in package.get("vulns", ()):
            fixed = ", ".join(found["fix_versions"]) or "no version yet"
            lines.append(
                f"{package['name']} {package['version']}: {found['id']}; fixed in {fixed}."
                " Raise it with: make lock"
            )
    vulnerable = bool(lines)
    lines.append(f"{len(packages) - len(skipped)} of {len(packages)} locked packages were audited")
    if skipped:
        lines.append(f"{len(skipped)} are unknown to the service that was asked: not audited")
    return lines, not vulnerable


def main() -> int:
    """Audit the locks beside this file; 0 unless something is known to be vulnerable."""
    here = Path(__file__).parent
    command = [sys.executable, "-m", "pip_audit", "--format=json", "--progress-spinner=off"]
    command += ["--require-hashes", "--disable-pip", "--timeout=10"]
    command += [f"--requirement={here / lock}" for lock in LOCKS]
    try:
        done = subprocess.run(  # noqa: S603 - our own words, no shell
            command, capture_output=True, text=True, check=False, timeout=SECONDS_MAX
        )
    except subprocess.TimeoutExpired:
        print(f"not audited: no answer within {SECONDS_MAX} seconds")
        return 0
    try:
        report = json.loads(done.stdout)
    except json.JSONDecodeError:
        if any(name in done.stderr for name in UNREACHABLE):
            print("not audited: the vulnerability service cannot be reached from here")
            return 0
        print(done.stderr, file=sys.stderr)
        return 1
    lines, good = judge(report)
    print("\n".join(lines))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
