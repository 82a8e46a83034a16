"""Prints the name of each example of the package hedgerow-examples, one a line."""

import json
import subprocess

METADATA = ["cargo", "metadata", "--no-deps", "--format-version", "1"]

packages = json.loads(subprocess.run(METADATA, check=True, capture_output=True).stdout)["packages"]
for package in packages:
    if package["name"] == "hedgerow-examples":
        for target in package["targets"]:
            if "example" in target["kind"]:
                print(target["name"])
