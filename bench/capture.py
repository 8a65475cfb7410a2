"""Measures what capture costs the checkout. Run by bench/capture.sh, in a private cluster.

What is compared takes turns, in an order that rotates with the rounds; every variant has a database
of its own, copied from one template, and places the same number of orders in each round. A ratio is
taken per round, of neighbours in time; the tables show its median, lowest and highest.

An order is what an application does: begin, insert the order, insert two items, commit. Clients
are pgbench with prepared statements, on the same machine, so that their work is part of every
throughput; the processor time of the backends alone is shown beside it.
"""

import argparse
import datetime
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import time

import capture_report
import first_capture
import instructions

ROOT = pathlib.Path(__file__).resolve().parent.parent
CUSTOMERS, OLD_ORDERS = 10_000, 100_000
TICKS = os.sysconf("SC_CLK_TCK")

ORDER = r"""
\set customer random(1, 10000)
\set product random(1, 6)
\set number random(1, 1000000000)
begin;
insert into shop.orders (customer_id, currency, checkout_url, total, status, paid_at, browser)
values (:customer, 'EUR', 'https://shop.example.com/de/checkout/' || :number, 25.80, 'paid', clock_timestamp(),
    '{"ip": "203.0.113.7", "user_agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36", "fbp": "fb.1.1790000000000.123456789", "ga_client_id": "123456789.1790000000"}')
returning id as id \gset
insert into shop.order_items (order_id, product_id, sku, quantity, price)
values (:id, :product, 'MUG-01', 1, 9.90), (:id, :product + 6, 'TRY-07', 1, 15.90);
commit;
"""


# -- Databases ------------------------------------------------------------------------------------


def sql(database, *commands, file=None, **variables):
    """Runs commands, or a file, and returns what they print."""
    command = ["psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-d", database]
    for name, value in variables.items():
        command += ["-v", f"{name}={value}"]
    command += [part for c in commands for part in ("-c", c)]
    if file:
        command += ["-f", str(ROOT / file)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout.strip()


def make_base(orders):
    sql("postgres", "create database base")
    sql("base", file="sql/examples/shop.sql", orders=orders)
    sql("base", file="bench/capture_base.sql", customers=CUSTOMERS, orders=OLD_ORDERS)
    sql("base", "vacuum analyze")


def make(name, variant):
    """A database of the base with one variant at work in it, where there is none yet."""
    if sql("postgres", f"select 1 from pg_database where datname = '{name}'"):
        return
    sql("postgres", f"create database {name} template base")
    if variant == "tracked":
        sql(
            name,
            "create extension pg_capi",
            f"select capi.setup(instance => '{name}', adopt => true)",
            "select capi.create_destination('meta-eu', platform => 'meta', credential => 'META_TOKEN', "
            """settings => '{"pixel_id": "1234567890", "endpoint": "http://127.0.0.1:8797"}')""",
            "select capi.track('shop.orders', conversions => 'shop.purchases', destinations => '{meta-eu}')",
        )
    elif variant == "untracked":
        sql(name, file="bench/capture.sql")
    else:
        sql(name, file="bench/capture.sql", trigger=variant)
    sql(name, "vacuum analyze")


# -- Measuring ------------------------------------------------------------------------------------


def postmaster(folder):
    return int(pathlib.Path(folder, "data/postmaster.pid").read_text().split()[0])


def ended_backends_cpu(pid):
    """Seconds of processor time, user and system, of all backends that have ended so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[13]) + int(fields[14])) / TICKS


class Commits:
    """Throughput of orders, by pgbench."""

    def __init__(self, folder, clients, each):
        self.pid, self.clients, self.each = postmaster(folder), clients, each
        self.script = pathlib.Path(folder, "order.sql")
        self.script.write_text(ORDER)

    def run(self, database):
        before = ended_backends_cpu(self.pid)
        done = subprocess.run(
            ["pgbench", "-n", "-M", "prepared", "-c", str(self.clients), "-j", "2", "-t", str(self.each),
             "-f", str(self.script), database],
            capture_output=True, text=True, check=True,
        )
        if "number of failed transactions: 0" not in done.stdout:
            raise SystemExit(done.stdout + done.stderr)
        tps = float(re.search(r"tps = ([0-9.]+)", done.stdout).group(1))
        time.sleep(0.2)     # until the postmaster has noticed that the backends are gone
        cpu = ended_backends_cpu(self.pid) - before
        return {"tps": round(tps, 1), "backend_us": round(cpu * 1e6 / (self.clients * self.each), 1)}


def interleaved(variants, rounds, measure):
    """What `measure` returns of each variant in each round."""
    found = {name: [] for name in variants}
    names = list(variants)
    for n in range(rounds + 1):
        at = n % len(names)
        for name in names[at:] + names[:at]:
            result = measure(name)
            if n:           # the first round warms up
                found[name].append(result)
                print(f"  round {n} {name}: {result}", flush=True)
    return found


def ratios(found, of, to, key):
    """Of each round; median, lowest, highest."""
    each = [a[key] / b[key] for a, b in zip(found[of], found[to])]
    return {"median": round(statistics.median(each), 3), "low": round(min(each), 3), "high": round(max(each), 3)}


def median(found, name, key):
    return statistics.median(run[key] for run in found[name])


# -- The rows -------------------------------------------------------------------------------------


def commit(options):
    for name in COMMIT_VARIANTS:
        make(name, name)
    counted = {name: events(name) for name in PAYLOADS}
    commits = Commits(options.folder, 8, 100 if options.quick else 1_500)

    def measure(name):
        sql(name, "checkpoint")
        return commits.run(name)

    found = interleaved(COMMIT_VARIANTS, options.rounds, measure)
    check(commits.clients * commits.each * (options.rounds + 1), counted)
    return {
        "clients": 8, "orders_per_run": commits.clients * commits.each, "runs": found,
        "ratios": {
            f"tracked to {other}": {
                "throughput": ratios(found, "tracked", other, "tps"),
                "backend_cpu_above_untracked": above(found, "tracked", other),
            }
            for other in ("constant", "hand", "untracked")
        } | {"untracked to hand": {"throughput": ratios(found, "untracked", "hand", "tps")}},
    }


COMMIT_VARIANTS = ("untracked", "constant", "hand", "tracked")


def count_instructions(options):
    """One client, one order after the other."""
    for name in COMMIT_VARIANTS:
        make(name, name)
    script = pathlib.Path(options.folder, "order.sql")
    script.write_text(ORDER)
    return instructions.measure(COMMIT_VARIANTS, options.folder, script) or {"counted_by": None}


def first(options):
    """The first capture of a new backend, above later ones; and what ten orders add to its memory."""
    shops = {"tracked": "first_tracked", "untracked": "first_untracked"}
    for variant, name in shops.items():
        make(name, variant)
        first_capture.psql(name, first_capture.SETUP)
    above_later = {name: [] for name in shops}
    for n in range(5 + (20 if options.quick else 150)):
        for name, database in shops.items():
            took = first_capture.times(database, n)
            if n >= 5:      # the first rounds warm up
                above_later[name].append(took[0] - statistics.median(took[1:]))

    def added(database):
        rows = first_capture.memory(database)
        return (rows[-1]["Anonymous"] - rows[0]["Anonymous"]) / 1024

    memory = [added(shops["tracked"]) - added(shops["untracked"]) for _ in range(5)]
    tenths = statistics.quantiles(above_later["tracked"], n=10)
    return {
        "rounds": len(above_later["tracked"]),
        # Of single backends: the tenths at both ends are left out.
        "above_later_ms": {"median": round(statistics.median(above_later["tracked"]), 2),
                           "low": round(tenths[0], 2), "high": round(tenths[-1], 2)},
        "untracked_above_later_ms": round(statistics.median(above_later["untracked"]), 2),
        "memory_mb": {"median": round(statistics.median(memory), 2), "low": round(min(memory), 2),
                      "high": round(max(memory), 2)},
    }


def above(found, of, to):
    """Processor time that two triggers add to a transaction without one."""
    if to == "untracked":
        return None
    base = median(found, "untracked", "backend_us")
    return round((median(found, of, "backend_us") - base) / (median(found, to, "backend_us") - base), 2)


PAYLOADS = {"hand": "bench.outbox", "tracked": "capi.outbox"}


def events(database):
    return int(sql(database, f"select count(*) from {PAYLOADS[database]}"))


def check(wanted, before):
    """Every order has become one event, in both payload variants; else nothing was measured."""
    for database, count in before.items():
        got = events(database) - count
        if got != wanted:
            raise SystemExit(f"{database}: {got} events of {wanted} orders")
    print("  bytes per event: " + ", ".join(
        database + " " + sql(database, f"select avg(pg_column_size(o))::int from (select * from {table} limit 1000) o")
        for database, table in PAYLOADS.items()))


MODES = {
    "no sidecar": "capture alone",
    "no bell": "a sidecar delivers, another session keeps the bell: nothing is ever armed",
    "bell": "a sidecar delivers and sleeps armed when the run begins",
    "frozen": "the same, stopped by SIGSTOP while armed",
}


def bell(options):
    """64 clients and a flush of a millisecond, by what wakes the sidecar."""
    make("shop", "tracked")
    sql("shop", "alter database shop set commit_delay = 1000", "create role sidecar login in role capi_sidecar",
        "select capi.resume('meta-eu')")
    commits = Commits(options.folder, 64, 30 if options.quick else 400)
    environment = os.environ | {
        "META_TOKEN": "token", "CAPI_CREDENTIALS": "META_TOKEN", "CAPI_ENDPOINTS": "127.0.0.1:8797", "CAPI_INSTANCE": "shop", "CAPI_LOG": "warn",
        "CAPI_DATABASE_URL": f"host={options.folder} port={os.environ['PGPORT']} user=sidecar dbname=shop",
    }
    standin = subprocess.Popen(
        [options.standin, "--listen", "127.0.0.1:8797", "--token-env", "META_TOKEN", "--pixel", "1234567890"],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )

    def measure(mode):
        keeper = sidecar = None
        if mode == "no bell":
            keeper = subprocess.Popen(["psql", "-X", "-q", "-d", "shop"], stdin=subprocess.PIPE, text=True,
                                      stdout=subprocess.DEVNULL)
            keeper.stdin.write("select pg_advisory_lock('capi'::regnamespace::oid::integer, 5);\n")
            keeper.stdin.flush()
            until(lambda: lock(5))
        if mode != "no sidecar":
            sidecar = subprocess.Popen([options.capi, "run"], env=environment)
            if mode == "no bell":
                until(lambda: unread() == 0)
                time.sleep(0.5)
            else:
                until(lambda: lock(1) and unread() == 0)
        if mode == "frozen":
            sidecar.send_signal(signal.SIGSTOP)
        sql("shop", "checkpoint")
        try:
            return commits.run("shop")
        finally:
            if sidecar:
                sidecar.send_signal(signal.SIGCONT)
                # What is left must not fall to the next one.
                until(lambda: unread() == 0)
                sidecar.terminate()
                sidecar.wait()
            if keeper:
                keeper.stdin.close()
                keeper.wait()
            sql("shop", "truncate capi.outbox, capi.event_key, capi.batch, capi.attempt, capi.receipt")

    def lock(which):
        return sql("shop", f"""select 1 from pg_locks where locktype = 'advisory' and granted and objid = {which}
            and classid = 'capi'::regnamespace::oid and mode = 'ExclusiveLock'""")

    def unread():
        return int(sql("shop", """select (select count(*) from capi.outbox o where not exists (
            select from capi.receipt r where r.event = o.id))"""))

    try:
        found = interleaved(MODES, options.rounds, measure)
    finally:
        standin.terminate()
        standin.wait()
    return {
        "clients": 64, "commit_delay_us": 1000, "orders_per_run": commits.clients * commits.each, "modes": MODES,
        "runs": found,
        "ratios": {
            "bell to no bell": {"throughput": ratios(found, "bell", "no bell", "tps")},
            "frozen to no sidecar": {"throughput": ratios(found, "frozen", "no sidecar", "tps")},
            "bell to no sidecar": {"throughput": ratios(found, "bell", "no sidecar", "tps")},
        },
    }


def until(true, seconds=180, pause=0.1):
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise SystemExit("gave up waiting")
        time.sleep(pause)


class Session:
    """One psql whose statements are timed one by one, and whose backend's memory is watched."""

    def __init__(self, database):
        self.psql = subprocess.Popen(
            ["psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-d", database],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )
        self.backend = int(self.ask("select pg_backend_pid();")[0])

    def ask(self, statement):
        self.psql.stdin.write(statement + "\n\\echo done\n")
        self.psql.stdin.flush()
        lines = []
        for line in self.psql.stdout:
            if line == "done\n":
                return lines
            lines.append(line.strip())
        raise SystemExit("psql has ended")

    def timed(self, statement):
        began = time.monotonic()
        self.ask(statement)
        return time.monotonic() - began

    def anonymous(self):
        """Bytes of private memory that stand in no file."""
        return 1024 * int(re.search(r"RssAnon:\s+(\d+)", pathlib.Path(f"/proc/{self.backend}/status").read_text())[1])

    def watch(self, statement):
        """Seconds of a statement and the peak of its backend's private memory."""
        began = time.monotonic()
        self.psql.stdin.write(statement + "\n\\echo done\n")
        self.psql.stdin.flush()
        os.set_blocking(self.psql.stdout.fileno(), False)
        peak = 0
        try:
            while self.psql.stdout.readline() != "done\n":
                peak = max(peak, self.anonymous())
                time.sleep(0.002)
        finally:
            os.set_blocking(self.psql.stdout.fileno(), True)
        return time.monotonic() - began, peak

    def end(self):
        self.psql.stdin.close()
        self.psql.wait()


def copy(options):
    """One transaction with many orders."""
    orders = 5_000 if options.quick else 100_000
    variants = {"plain": "untracked", "set": "untracked", "capi": "tracked"}
    for name, variant in variants.items():
        make(f"copy_{name}", variant)
    files = pathlib.Path(options.folder, "orders.copy"), pathlib.Path(options.folder, "items.copy")
    first = {name: OLD_ORDERS + 1 for name in variants}

    def measure(name):
        database, start = f"copy_{name}", first[name]
        first[name] += orders
        write_files(files, start, orders)
        sql(database, "checkpoint")
        session = Session(database)
        session.ask("select count(*) from shop.purchases where id < 100;")
        base = session.anonymous()
        seconds, peak = session.watch(
            f"begin; copy shop.orders (id, customer_id, currency, checkout_url, total, status, paid_at, browser) from '{files[0]}';")
        noted = max(peak, session.anonymous()) - base
        seconds += session.timed(f"copy shop.order_items (order_id, product_id, sku, quantity, price) from '{files[1]}';")
        before = session.anonymous() - base
        end = "commit;"
        if name == "set":
            end = f"select bench.hand_over({start}, {start + orders - 1}); commit;"
        last, peak = session.watch(end)
        session.end()
        return {"seconds": round(seconds + last, 3), "commit_s": round(last, 3), "noted_kb": noted // 1024,
                "before_commit_kb": before // 1024, "peak_kb": (peak - base) // 1024}

    found = interleaved(variants, options.rounds, measure)
    for database, table in (("copy_set", "bench.outbox"), ("copy_capi", "capi.outbox")):
        got = int(sql(database, f"select count(*) from {table}"))
        if got != orders * (options.rounds + 1):
            raise SystemExit(f"{database}: {got} events")
    added = {
        name: [run["seconds"] - plain["seconds"] for run, plain in zip(found[name], found["plain"])]
        for name in ("set", "capi")
    }
    each = [a / b for a, b in zip(added["capi"], added["set"])]

    def bytes_per_order(key):
        each = [(a[key] - b[key]) * 1024 / orders for a, b in zip(found["capi"], found["plain"])]
        return {"median": round(statistics.median(each), 1), "low": round(min(each), 1), "high": round(max(each), 1)}

    return {
        "orders": orders, "runs": found,
        "added_seconds": {name: round(statistics.median(values), 3) for name, values in added.items()},
        "ratios": {"added by capi to added by set": {"time": {
            "median": round(statistics.median(each), 3), "low": round(min(each), 3), "high": round(max(each), 3)}}},
        "bytes_per_order": {"noted": bytes_per_order("noted_kb"), "peak": bytes_per_order("peak_kb")},
    }


def write_files(files, start, orders):
    with files[0].open("w") as out, files[1].open("w") as items:
        now = datetime.datetime.now(datetime.timezone.utc).isoformat()
        for i in range(start, start + orders):
            browser = json.dumps({
                "ip": "203.0.113.7", "fbp": f"fb.1.1790000000000.{i}", "ga_client_id": f"{i}.1790000000",
                "user_agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
                              "Chrome/140.0.0.0 Safari/537.36"})
            out.write(f"{i}\t{1 + i % CUSTOMERS}\tEUR\thttps://shop.example.com/de/checkout/{i}\t25.80\tpaid\t{now}\t{browser}\n")
            items.write(f"{i}\t{1 + i % 6}\tMUG-01\t1\t9.90\n{i}\t{7 + i % 6}\tTRY-07\t1\t15.90\n")


# -- Output ---------------------------------------------------------------------------------------


def flush_us(folder):
    """Microseconds of one small write with fdatasync, median."""
    name = pathlib.Path(folder, "flush")
    took = []
    with name.open("wb") as file:
        for _ in range(200):
            began = time.monotonic()
            file.write(bytes(8192))
            file.flush()
            os.fdatasync(file.fileno())
            took.append(time.monotonic() - began)
    name.unlink()
    return round(statistics.median(took) * 1e6)


PARTS = {"commit": commit, "bell": bell, "copy": copy, "first": first, "instructions": count_instructions}


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--rows", default=",".join(PARTS))
    options.add_argument("--quick", action="store_true")
    options.add_argument("--capi", required=True)
    options.add_argument("--standin", required=True)
    options.add_argument("--folder", required=True)
    options.add_argument("--shop-orders", type=int, default=600)
    options = options.parse_args()
    make_base(options.shop_orders)
    results = {}
    for row in options.rows.split(","):
        print(f"{row}:", flush=True)
        results[row] = PARTS[row](options)
    if options.quick:
        print("\n" + capture_report.section(results))
        return
    machine = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    target = ROOT / "bench/results/capture.json"
    target.parent.mkdir(exist_ok=True)
    # Parts that this run has left out are kept.
    results = (json.loads(target.read_text())["results"] if target.exists() else {}) | results
    target.write_text(json.dumps({
        "date": datetime.date.today().isoformat(),
        "command": "make bench-capture", "rounds": options.rounds,
        "machine": {"cores": os.cpu_count(), "processor": machine and machine[1], "flush_us": flush_us(options.folder)},
        "postgres": sql("postgres", "show server_version").split()[0],
        "results": results,
    }, indent=1) + "\n")
    print("\n" + capture_report.section(results))


if __name__ == "__main__":
    main()
