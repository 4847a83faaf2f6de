"""Counts the test cases of a run of CI:  summary.py STEP=STATUS[=EVENTS]...

A step with EVENTS is a `bazel test`. EVENTS is its build event file; it names the targets of this very run and the test.xml files that
belong to them, so logs of earlier runs do not count. A test that was not built, has no test.xml, or failed without saying so in it is one
failed case. A step without EVENTS is one case, by its exit STATUS.
"""

import json
import sys
from collections import Counter
from pathlib import Path
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

PASSING = ("PASSED", "FLAKY")
# Bazel's exit status for success, failed tests, no tests at all: those cases count by themselves.
EXPLAINED = (0, 3, 4)


def cases(xml: Path) -> Counter[str]:
    """The results in one test.xml."""
    count: Counter[str] = Counter()
    for case in ElementTree.parse(xml).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            count["failed"] += 1
            print(f"failed: {case.get('classname') or ''} {case.get('name')}")
        else:
            count["skipped" if case.find("skipped") is not None else "passed"] += 1
    return count


def run_results(events: list[dict]) -> tuple[dict[str, dict], set[str]]:
    """The last attempt of each test (label, run, shard), and the tests that ought to have run."""
    results: dict[tuple, dict] = {}
    expected: set[str] = set()
    skipped: set[str] = set()
    for event in events:
        ident = event["id"]
        if "targetConfigured" in ident and event.get("configured", {}).get("testSize"):
            expected.add(ident["targetConfigured"]["label"])
        elif "targetCompleted" in ident and event.get("aborted", {}).get("reason") == "SKIPPED":
            skipped.add(ident["targetCompleted"]["label"])
        elif "testResult" in ident and "testResult" in event:
            key = ident["testResult"]
            results[key["label"], key.get("run"), key.get("shard")] = event["testResult"]
    return results, expected - skipped


def count_tests(step: str, status: int, events_file: Path) -> Counter[str]:
    """The cases of one `bazel test`."""
    lines = events_file.read_text().splitlines() if events_file.exists() else []
    results, expected = run_results([json.loads(line) for line in lines])
    total: Counter[str] = Counter()
    for (label, _, shard), result in sorted(results.items(), key=str):
        urls = [o["uri"] for o in result.get("testActionOutput", []) if o["name"] == "test.xml"]
        files = [Path(unquote(urlsplit(url).path)) for url in urls]
        files = [file for file in files if file.is_file() and file.stat().st_size]
        count: Counter[str] = sum((cases(file) for file in files), Counter())
        if not files or (result["status"] not in PASSING and not count["failed"]):
            count["failed"] += 1
            print(f"failed: {label} (shard {shard}): {result['status']}")
        total += count
    for label in sorted(expected - {label for label, _, _ in results}):
        total["failed"] += 1
        print(f"failed: {label}: not built")
    if not expected:
        total["failed"] += 1
        print(f"failed: {step}: no test was found")
    if status not in EXPLAINED:
        print(f"failed: {step} ended with status {status}")
        total["failed"] += 0 if total["failed"] else 1
    return total


def main(*steps: str) -> int:
    total: Counter[str] = Counter()
    for step in steps:
        name, status, *events = step.split("=", 2)
        if events:
            total += count_tests(name, int(status), Path(events[0]))
        else:
            total["passed" if status == "0" else "failed"] += 1
            if status != "0":
                print(f"failed: {name} ended with status {status}")
    skipped = f", {total['skipped']} skipped" if total["skipped"] else ""
    print(f"{total['passed']} passed, {total['failed']} failed{skipped}")
    return 1 if total["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
