"""Measures delivery. Run by bench/delivery.sh, in a private cluster.

What is compared takes turns, in an order that rotates with the rounds; a ratio is taken per round, of
neighbours in time; the tables show its median, lowest and highest. Consumers, Postgres and the
receiver share the machine, so the processor time of consumer and backends is shown beside the rate.
"""

import argparse
import datetime
import json
import os
import pathlib
import re
import socket
import statistics
import subprocess
import time

from capture import ROOT, Session, flush_us, interleaved, make_base, median, ratios, sql, until
from contenders import (BATCH, CONCURRENCY, Capi, Graphile, Limit, PgBoss, Pgmq, PgmqArchive, Pgq, ReadyMade, Receiver,
                        drain)

PEERS = {"graphile-worker": ("graphile", Graphile), "pg-boss": ("pgboss", PgBoss), "pgmq-style": ("pgmq", Pgmq),
         "pgmq-style, archive": ("pgmq_archive", PgmqArchive), "PgQ": ("pgq", Pgq)}
# Those that the first target is about; PgQ has one of its own.
QUEUES = ["graphile-worker", "pg-boss", "pgmq-style", "pgmq-style, archive"]


# -- The rows -------------------------------------------------------------------------------------


def rounds_of(options, contenders, events, rounds=None):
    receiver = Receiver(options)
    try:
        return interleaved(contenders, rounds or options.rounds,
                           lambda name: drain(contenders[name], receiver, events))
    finally:
        receiver.stop()


def contenders_with_peers(options):
    contenders = {"pg_capi": options.capi_base}
    for name, (database, kind) in PEERS.items():
        contenders[name] = once(options, database, kind)
    return contenders


def once(options, database, kind):
    """A contender is made when a row needs it."""
    if database not in options.made:
        options.made[database] = kind(options, database)
    return options.made[database]


def row_drain(options):
    contenders = contenders_with_peers(options)
    found = rounds_of(options, contenders, options.events)
    best = [max(run["rate"] for run in runs) for runs in zip(*(found[name] for name in QUEUES))]
    return {
        "events": options.events, "runs": found, "about": {name: c.about for name, c in contenders.items()},
        "measures": {
            "drain against the best of graphile-worker, pg-boss and pgmq": of_rounds(
                [run["rate"] / other for run, other in zip(found["pg_capi"], best)], ">= 3", 2),
            "drain against PgQ": of_ratios(found, "pg_capi", "PgQ", ">= 1.0"),
        } | {f"drain against {name}": of_ratios(found, "pg_capi", name) for name in QUEUES},
    }


def row_limit(options):
    contenders = {"pg_capi": options.capi_base, "limit": once(options, "lim", Limit),
                  "limit, ready-made bytes": once(options, "ready", ReadyMade)}
    found = rounds_of(options, contenders, options.events)
    return {
        "events": options.events, "runs": found, "about": {name: c.about for name, c in contenders.items()},
        "measures": {
            "drain against the limit: same rows, same bytes, nothing marked": of_ratios(found, "pg_capi", "limit", ">= 0.7"),
            "drain against reading and posting ready-made bytes": of_ratios(found, "pg_capi", "limit, ready-made bytes"),
        },
    }


def row_snapshot(options):
    """Two databases take turns; in one of them a session holds a snapshot all the time."""
    contenders = {"free": Capi(options, "free"), "held": Capi(options, "held")}
    receiver, found, n = Receiver(options), {"free": [], "held": []}, 0
    for contender in contenders.values():
        drain(contender, receiver, options.events)
    holder = Session("held")
    holder.ask("begin isolation level repeatable read; select count(*) from capi.destination;")
    until_then = time.monotonic() + options.snapshot
    while time.monotonic() < until_then or n < 2:
        for name in (["free", "held"], ["held", "free"])[n % 2]:
            result = drain(contenders[name], receiver, options.events)
            found[name].append(result)
            print(f"  round {n} {name}: {result}", flush=True)
        n += 1
    holder.ask("commit;")
    holder.end()
    receiver.stop()
    dead = int(sql("held", "select sum(n_dead_tup) from pg_stat_user_tables where schemaname = 'capi'"))
    drop(options, contenders)
    each = [held["rate"] / free["rate"] for held, free in zip(found["held"], found["free"])]
    return {
        "events": options.events, "seconds": options.snapshot, "runs": found, "dead_tuples": dead,
        "measures": {
            f"drain with a snapshot held for {options.snapshot} s, against without": of_rounds(each, ">= 0.95", 2),
            "the same, last third of the rounds": of_rounds(each[-max(len(each) // 3, 1):], ">= 0.95", 2),
            "dead tuples per 1,000 events delivered under the snapshot": of_rounds(
                [dead * 1_000 / (options.events * len(each))], None, 1),
        },
    }


def row_history(options):
    contenders = {"no history": Capi(options, "young"), "history": Capi(options, "old")}
    print(f"  {options.history} delivered events", flush=True)
    began = time.monotonic()
    sql("old", "set synchronous_commit = off", f"call bench.history({options.history})")
    sql("old", "vacuum analyze")
    print(f"  made in {time.monotonic() - began:.0f} s", flush=True)
    found = rounds_of(options, contenders, options.events)
    size = sql("old", "select pg_size_pretty(pg_database_size('old'))")
    drop(options, contenders)
    return {
        "events": options.events, "history": options.history, "size": size, "runs": found,
        "measures": {f"drain with {options.history:,} delivered events, against none": of_ratios(
            found, "history", "no history", ">= 0.9")},
    }


def row_wal(options):
    contenders = contenders_with_peers(options)
    settings("full_page_writes = off", "autovacuum = off")
    try:
        found = rounds_of(options, contenders, options.events, min(options.rounds, 3))
    finally:
        settings()
    return {
        "events": options.events, "runs": found,
        "measures": {f"WAL per event after the insert, bytes: {name}": of_rounds(
            [run["wal"] for run in runs], "<= 200" if name == "pg_capi" else None, 0) for name, runs in found.items()},
    }


def row_latency(options):
    found, measures = {}, {}
    for rate, count, target in ((5, 15 if options.quick else 300, 60), (200, 600 if options.quick else 12_000, 60)):
        runs = [latency(options, rate, count) for _ in range(1 if options.quick else min(options.rounds, 3))]
        found[f"{rate} per second"] = runs
        for what, goal in (("p50", "<= 5"), ("p99", "<= 15")):
            measures[f"commit to request received, {rate} commits per second, {what}, ms"] = of_rounds(
                [run[what] for run in runs], goal, 1)
            measures[f"the same from the sending of COMMIT, {rate} per second, {what}, ms"] = of_rounds(
                [run[f"sent_{what}"] for run in runs], None, 1)
    return {"runs": found, "measures": measures}


def latency(options, rate, count):
    capi = options.capi_base
    receiver = Receiver(options, "--arrivals")
    sidecar = subprocess.Popen(capi.command(), env=capi.environment())
    try:
        until(lambda: capi.left() == 0)
        time.sleep(1)   # until it sleeps
        placed = subprocess.run([options.tools, "orders", capi.dsn, "--rate", str(rate), "--count", str(count)],
                                capture_output=True, text=True, check=True)
        until(lambda: receiver.stats()["events"] >= count)
        arrived = dict(line.rsplit(" ", 1) for line in receiver.get("/arrivals").splitlines())
    finally:
        sidecar.terminate()
        sidecar.wait()
        receiver.stop()
    waits = {"": [], "sent_": []}
    for line in placed.stdout.splitlines():
        order, sent, returned = line.split()
        at = int(arrived[f"order-{order}"])
        waits[""].append((at - int(returned)) / 1000)
        waits["sent_"].append((at - int(sent)) / 1000)
    result = {}
    for which, values in waits.items():
        values.sort()
        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1)):
            result[which + name] = round(values[min(int(len(values) * share), len(values) - 1)], 2)
    print(f"  {rate} per second: {result}", flush=True)
    return result


def row_memory(options):
    """A backlog, and a platform that takes 200 ms, so that all slots are in use."""
    capi = Capi(options, "backlog")
    capi.fill(options.backlog, 100)
    sql("backlog", "vacuum analyze")
    receiver = Receiver(options, "--delay", "200")
    sidecar = subprocess.Popen(capi.command(), env=capi.environment())
    try:
        until(lambda: receiver.stats()["events"] >= min(options.backlog, 200_000), 600)
        status = pathlib.Path(f"/proc/{sidecar.pid}/status").read_text()
    finally:
        sidecar.terminate()
        sidecar.wait()
        receiver.stop()
    peak, now = (int(re.search(rf"{key}:\s+(\d+)", status)[1]) / 1024 for key in ("VmHWM", "VmRSS"))
    drop(options, {"": capi})
    return {"backlog": options.backlog, "measures": {
        f"sidecar memory with {options.backlog:,} pending events, MiB, peak": of_rounds([peak], "<= 64", 1),
        "the same, at the end": of_rounds([now], None, 1),
    }}


def row_calls(options):
    """What a batch costs a backend, call by call, in one session that does nothing else."""
    capi = Capi(options, "calls")
    capi.fill(options.events)
    sql("calls", "vacuum analyze", "checkpoint")
    session = Session("calls")
    session.ask("create temp table claimed as select * from capi.claim(1, 'bench', '60 s', 1) limit 0;")
    calls = {
        "claim": f"delete from claimed; insert into claimed select * from capi.claim(1, 'bench', '60 s', {BATCH});",
        "read": "copy (select capi.claimed_events((select batch from claimed), (select token from claimed), 8388608))"
                " to '/dev/null' (format binary);",
        "record": """select capi.record(batch, token, attempt, 200, 'A', null, '{"received": 1000}', 'each', events,"""
                  """ '{delivered}', array[null::text], '{}', '0 s') from claimed;""",
    }
    used = dict.fromkeys(calls, 0)
    for _ in range(options.events // BATCH):
        for call, statement in calls.items():
            before = cpu_us(session.backend)
            session.ask(statement)
            used[call] += cpu_us(session.backend) - before
    session.end()
    capi.clean()
    drop(options, {"": capi})
    return {"events": options.events, "measures": {
        f"{call}: processor time of the backend, µs per event": of_rounds([us / options.events], None, 1)
        for call, us in used.items()}}


def cpu_us(pid):
    """Processor time of a process, in ticks of 10 ms."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1_000_000 // os.sysconf("SC_CLK_TCK")


def row_idle(options):
    seconds = 20 if options.quick else 120
    capi = options.capi_base
    log = pathlib.Path(options.folder, "postgres.log")
    sql("postgres", "alter role sidecar set log_statement = 'all'")
    # What was just loaded is not the sidecar's to vacuum.
    settings("autovacuum = off")
    receiver = Receiver(options)
    sidecar = subprocess.Popen(capi.command(), env=capi.environment())
    try:
        until(lambda: capi.left() == 0)
        time.sleep(5)
        # One checkpoint, and the server itself has nothing left to write.
        sql("postgres", "checkpoint")
        time.sleep(20)
        start, lsn = log.stat().st_size, sql("postgres", "select pg_current_wal_insert_lsn()")
        time.sleep(seconds)
        wal = int(sql("postgres", f"select pg_current_wal_insert_lsn() - '{lsn}'::pg_lsn"))
        said = log.read_bytes()[start:].decode()
    finally:
        sidecar.terminate()
        sidecar.wait()
        receiver.stop()
        sql("postgres", "alter role sidecar reset log_statement")
        settings()
    statements = len(re.findall(r"LOG:  (statement|execute) ", said))
    return {"seconds": seconds, "measures": {
        "idle sidecar, statements per second": of_rounds([statements / seconds], "<= 0.2", 2),
        "idle sidecar, bytes of WAL": of_rounds([wal], "none", 0),
    }}


ROWS = {name.removeprefix("row_"): row for name, row in list(globals().items()) if name.startswith("row_")}


def settings(*lines):
    """Settings of the server, instead of those of the last call."""
    sql("postgres", "alter system reset all", *[f"alter system set {line}" for line in lines], "select pg_reload_conf()")
    time.sleep(0.5)


def drop(options, contenders):
    for contender in contenders.values():
        sql("postgres", f"drop database {contender.database} with (force)")


# -- Output ---------------------------------------------------------------------------------------


def of_rounds(values, target=None, digits=2):
    return {"median": round(statistics.median(values), digits), "low": round(min(values), digits),
            "high": round(max(values), digits), "target": target, "digits": digits}


def of_ratios(found, of, to, target=None):
    return ratios(found, of, to, "rate") | {"target": target, "digits": 2}


def tables(results, command):
    print(f"\n`{command}`, rows: {', '.join(results)}\n")
    print("| what | target | median | lowest to highest | |\n|---|---|--:|--:|---|")
    for row, result in results.items():
        for what, m in result["measures"].items():
            number = "{:,." + str(m["digits"]) + "f}"
            median_, low, high = (number.format(m[key]) for key in ("median", "low", "high"))
            spread = "" if low == high else f"{low} to {high}"
            print(f"| {what} | {m['target'] or ''} | **{median_}** | {spread} | {'' if meets(m) else 'missed'} |")
    for row, result in results.items():
        runs = result.get("runs", {})
        if row not in ("drain", "limit", "snapshot", "history"):
            continue
        print(f"\n{row}, {result['events']:,} events per run:\n")
        print("| contender | events per second, median | lowest to highest | consumer, µs per event | backends, µs | bytes per event |")
        print("|---|--:|--:|--:|--:|--:|")
        for name, each in runs.items():
            rates = [run["rate"] for run in each]
            print(f"| {name} | {statistics.median(rates):,.0f} | {min(rates):,} to {max(rates):,} "
                  f"| {median(runs, name, 'consumer_us'):.1f} | {median(runs, name, 'backend_us'):.1f} "
                  f"| {median(runs, name, 'bytes'):.0f} |")


def meets(measure):
    target, value = measure["target"], measure["median"]
    if target is None:
        return True
    if target == "none":
        return value == 0
    sign, bound = target.split()
    return value >= float(bound) if sign == ">=" else value <= float(bound)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main():
    options = argparse.ArgumentParser()
    for name, default in (("rounds", 7), ("events", 100_000), ("snapshot", 60), ("history", 10_000_000),
                          ("backlog", 1_000_000), ("shop-orders", 600)):
        options.add_argument(f"--{name}", type=int, default=default)
    options.add_argument("--rows", default=",".join(ROWS))
    options.add_argument("--quick", action="store_true")
    for name in ("capi", "tools", "folder"):
        options.add_argument(f"--{name}", required=True)
    options = options.parse_args()
    unknown = set(options.rows.split(",")) - set(ROWS)
    if unknown:
        raise SystemExit(f"unknown rows: {', '.join(unknown)}; known are {', '.join(ROWS)}")
    if options.quick:
        options.rounds, options.events, options.snapshot = 1, 10_000, 5
        options.history, options.backlog = 50_000, 20_000
    options.port, options.made = free_port(), {}
    make_base(options.shop_orders)
    sql("postgres", "create role sidecar login")
    pathlib.Path(options.folder, "captured.copy").unlink(missing_ok=True)   # an earlier run's
    options.capi_base = Capi(options, "capi")
    sql("postgres", "grant capi_sidecar to sidecar")
    options.capi_base.capture(options.events)
    command = " ".join([f"ROUNDS={options.rounds}", f"EVENTS={options.events}", f"SNAPSHOT={options.snapshot}",
                        f"HISTORY={options.history}", f"BACKLOG={options.backlog}", "make bench-delivery"])
    target = ROOT / "bench/results/delivery.json"
    results = {}
    for row in options.rows.split(","):
        print(f"{row}:", flush=True)
        results[row] = ROWS[row](options) | {"date": datetime.date.today().isoformat(), "command": command}
        if not options.quick:
            save(options, target, row, results[row])
    tables(results, command)


def save(options, target, row, result):
    """After each row, so that a run that is cut off has not been for nothing."""
    machine = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    target.parent.mkdir(exist_ok=True)
    before = json.loads(target.read_text())["results"] if target.exists() else {}
    target.write_text(json.dumps({
        "command": "make bench-delivery", "batch": BATCH, "requests in flight": CONCURRENCY,
        "machine": {"cores": os.cpu_count(), "processor": machine and machine[1], "flush_us": flush_us(options.folder)},
        "postgres": sql("postgres", "show server_version").split()[0],
        "results": before | {row: result},
    }, indent=1) + "\n")


if __name__ == "__main__":
    main()
