"""`make audit`: known vulnerabilities of what requirements.lock names (QUA-2).

Exit codes: 0 nothing is known against it, 1 something is. Where the advisory service cannot be asked, it says so in one
line and ends with 0, so that a machine without internet can still build; with ``--strict``, as in the workflow, that is
a failure, too.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

LOCK: Final = Path(__file__).resolve().parents[1] / "requirements.lock"
PATIENCE_S: Final = 300.0


def ask(lock: Path) -> tuple[list[dict[str, Any]], str]:
    """Ask the service about every locked package; with an empty list comes the reason why there is no answer."""
    try:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pip_audit", "--requirement", str(lock)),
                *("--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json"),
            ],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return [], f"no answer within {PATIENCE_S:.0f} s"
    except (ValueError, KeyError):
        return [], (done.stderr.strip().splitlines() or ["no answer"])[-1]
    return found, ""


def verdict(found: list[dict[str, Any]], reason: str, *, strict: bool) -> tuple[int, list[str]]:
    """Turn the answer into an exit code and what to print."""
    vulnerable = [each for each in found if each.get("vulns")]
    skipped = [each for each in found if "skip_reason" in each]
    lines = [
        f"{each['name']} {each['version']}: {vuln['id']}, mended in {', '.join(vuln['fix_versions']) or 'no version'}"
        for each in vulnerable
        for vuln in each["vulns"]
    ]
    if vulnerable:
        return 1, [*lines, f"{len(vulnerable)} of {len(found)} locked packages are vulnerable"]
    asked = len(found) - len(skipped)
    if not found or skipped:
        why = reason or skipped[0]["skip_reason"]
        missing = f"NOT AUDITED: {len(skipped) or 'all'} packages, {asked} were: {why}"
        return (1 if strict else 0), [missing]
    return 0, [f"nothing is known against the {asked} locked packages"]


def main() -> int:
    """Print the verdict; returns the exit code."""
    code, lines = verdict(*ask(LOCK), strict="--strict" in sys.argv[1:])
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
