"""Compares two versions of the project. Run by bench/versions.sh, with a cluster for each.

They take turns, and a ratio is taken per pair, of neighbours in time; the table shows its median,
lowest and highest. 1.00 means as fast as before, more is faster.
"""

import argparse
import os
import pathlib
import socket
import types

import capture
from contenders import Capi, Receiver, drain


class Version:
    """A checkout, its cluster and its sidecar."""

    def __init__(self, words, options):
        self.name, folder, self.port, root = words.split(",")
        self.root = pathlib.Path(root)
        self.options = types.SimpleNamespace(
            folder=folder, capi=f"{folder}/capi", tools=options.tools, port=options.port)

    def enter(self):
        """What follows is about this version."""
        os.environ |= {"PGHOST": self.options.folder, "PGPORT": self.port}
        capture.ROOT = self.root

    def make(self, orders, events):
        self.enter()
        capture.make_base(600)
        capture.make("shop", "tracked")
        capture.sql("postgres", "create role sidecar login")
        self.commits = capture.Commits(self.options.folder, 8, orders // 8)
        self.capi = Capi(self.options, "delivery")
        capture.sql("postgres", "grant capi_sidecar to sidecar")
        self.capi.capture(events)


def main():
    options = argparse.ArgumentParser()
    for name in ("pairs", "orders", "events"):
        options.add_argument(f"--{name}", type=int, required=True)
    options.add_argument("--tools", required=True)
    options.add_argument("--version", action="append", required=True)
    options = options.parse_args()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        options.port = probe.getsockname()[1]
    versions = {version.name: version for version in (Version(words, options) for words in options.version)}
    for version in versions.values():
        version.make(options.orders, options.events)

    def orders(name):
        versions[name].enter()
        return versions[name].commits.run("shop")

    def delivery(name):
        versions[name].enter()
        return drain(versions[name].capi, receiver, options.events)

    print("capture:", flush=True)
    rows = {"orders committed per second": capture.interleaved(versions, options.pairs, orders)}
    print("delivery:", flush=True)
    receiver = Receiver(versions["here"].options)
    try:
        rows["events delivered per second"] = capture.interleaved(versions, options.pairs, delivery)
    finally:
        receiver.stop()

    print(f"\n{options.pairs} pairs\n")
    print("| what | here, median | base, median | ratio, median | lowest to highest |\n|---|--:|--:|--:|---|")
    for what, found in rows.items():
        key = "tps" if "tps" in found["here"][0] else "rate"
        ratio = capture.ratios(found, "here", "base", key)
        here, base = (capture.median(found, name, key) for name in ("here", "base"))
        print(f"| {what} | {here:,.0f} | {base:,.0f} | **{ratio['median']}** | {ratio['low']} to {ratio['high']} |")


if __name__ == "__main__":
    main()
