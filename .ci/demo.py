"""Runs the demo command given as arguments and checks what it wrote to stdout.

It must be one JSON document and nothing else: `{"runs": [..]}`, one object a
policy, each with every key below. Prints the runs as they are.
"""

import json
import subprocess
import sys

KEYS = {
    "policy",
    "calls",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "p999_ms",
    "extra_percent",
    "hedge_wins",
    "errors",
}


def faults(document):
    """What is wrong with the document, one line a fault."""
    if not isinstance(document, dict) or set(document) != {"runs"}:
        yield 'the document is not an object with the one key "runs"'
        return
    if not isinstance(document["runs"], list) or not document["runs"]:
        yield '"runs" is not a list with at least one run'
        return
    for number, run in enumerate(document["runs"]):
        if set(run) != KEYS:
            yield f"run {number}: missing {sorted(KEYS - set(run))}, unknown {sorted(set(run) - KEYS)}"


def main():
    done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"error: the demo ended with exit code {done.returncode}")
    try:
        document = json.loads(done.stdout)
    except json.JSONDecodeError as error:
        sys.exit(f"error: stdout is not one JSON document: {error}\n{done.stdout[:500]}")
    found = list(faults(document))
    if found:
        sys.exit("error: " + "\nerror: ".join(found))
    for run in document["runs"]:
        print(run)


main()
