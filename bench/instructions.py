"""Instructions of one order in its backend: they hardly depend on what else the machine does.

Counted by the processor where `perf` may, else by Valgrind, which runs the same cluster on a
processor of its own that lacks the SHA extensions: digests count a few times as much there. The
start of a backend is left out by taking the difference of a short and a long run.
"""

import os
import pathlib
import shutil
import subprocess
import time

FEW, MANY = 100, 400
SERVER_USER = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []


def counter():
    """What can count here: `perf`, `valgrind`, or none."""
    if shutil.which("perf"):
        tried = subprocess.run(["perf", "stat", "-x", ",", "-e", "instructions:u", "true"], capture_output=True, text=True)
        if tried.returncode == 0 and tried.stderr.split(",")[0].isdigit():
            return "perf"
    return "valgrind" if shutil.which("valgrind") else None


def orders(script, database, count):
    return ["pgbench", "-n", "-M", "prepared", "-c", "1", "-t", str(count), "-f", str(script), database]


def measure(databases, folder, script):
    """Instructions per order of each database; None where nothing can count."""
    count_by = {"perf": by_perf, "valgrind": by_valgrind, None: None}[counter()]
    return count_by and {"counted_by": counter(), "per_order": count_by(databases, folder, script)}


def postmaster(folder):
    return int(pathlib.Path(folder, "data/postmaster.pid").read_text().split()[0])


def by_perf(databases, folder, script, event="instructions:u"):
    # Backends are children of the postmaster, which perf follows.
    def counted(database, count):
        done = subprocess.run(
            ["perf", "stat", "-x", ",", "-e", event, "-p", str(postmaster(folder)), "--", *orders(script, database, count)],
            capture_output=True, text=True, check=True)
        line = next(line for line in done.stderr.splitlines() if event in line)
        return float(line.split(",")[0])

    return {name: round((counted(name, MANY) - counted(name, FEW)) / (MANY - FEW)) for name in databases}


def by_valgrind(databases, folder, script):
    folder = pathlib.Path(folder)
    counts = folder / "counts"

    def counted(database, count):
        shutil.rmtree(counts, ignore_errors=True)
        counts.mkdir()
        if SERVER_USER:
            shutil.chown(counts, "postgres")
        with Cluster(folder, ["valgrind", "-q", "--tool=callgrind", "--trace-children=yes",
                              f"--callgrind-out-file={counts}/%p"]):
            subprocess.run(orders(script, database, count), capture_output=True, check=True)
        # The backend of the orders is the one that did the most.
        return max(total(file) for file in counts.iterdir())

    control(folder, "stop")
    try:
        return {name: round((counted(name, MANY) - counted(name, FEW)) / (MANY - FEW)) for name in databases}
    finally:
        shutil.rmtree(counts, ignore_errors=True)
        control(folder, "start")


def total(file):
    for line in file.read_text(errors="replace").splitlines():
        if line.startswith(("summary:", "totals:")):
            return int(line.split()[1])
    return 0


def control(folder, what):
    options = ["-m", "fast"] if what == "stop" else ["-l", str(folder / "postgres.log")]
    subprocess.run([*SERVER_USER, shutil.which("pg_ctl"), "-D", str(folder / "data"), *options, "-w", what],
                   stdout=subprocess.DEVNULL, check=True)


class Cluster:
    """The cluster, run by another program."""

    def __init__(self, folder, under):
        self.folder = folder
        self.command = [*SERVER_USER, *under, shutil.which("postgres"), "-D", str(folder / "data"),
                        # What is slow here is no fault of the capture.
                        "-c", "capi.time_budget=600000"]

    def __enter__(self):
        log = open(self.folder / "postgres.log", "a")
        self.server = subprocess.Popen(self.command, stdout=log, stderr=log)
        deadline = time.monotonic() + 120
        while subprocess.run(["pg_isready", "-q"]).returncode:
            if time.monotonic() > deadline or self.server.poll() is not None:
                raise SystemExit("no server under " + self.command[0])
            time.sleep(0.2)

    def __exit__(self, *_):
        # SIGINT: a fast shutdown, after which the counts are written.
        os.kill(postmaster(self.folder), 2)
        self.server.wait()
