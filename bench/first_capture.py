"""Measures what the first capture of a backend costs above later ones, in time and memory.

Fresh connections to the tracked and the untracked shop take turns. Each places the same orders,
one transaction each; the first one warms up what every backend warms up, so that the untracked
shop is the baseline. Run by bench/first_capture.sh.
"""

import argparse
import re
import statistics
import subprocess

# One customer per calling code, and some more of the first: who orders decides which plan is read.
LATER = 9

SETUP = """
drop table if exists public.bench_customer;
create table public.bench_customer (n int primary key, id bigint, code text);
with wanted (n, code, phone, country) as (values
    (1, '+1', '+1 415 555 0132', 'US'), (2, '+44', '020 7946 0132', 'GB'),
    (3, '+49', '030 23125 132', 'DE'), (4, '+33', '06 39 98 01 32', 'FR'),
    (5, '+34', '600 123 132', 'ES'), (6, '+39', '02 1234 5132', 'IT'),
    (7, '+55', '(11) 91234-5132', 'BR')),
made as (
    insert into shop.customers (email, phone, first_name, last_name, city, state, zip, country,
        marketing_consent)
    select 'bench' || n || '@example.com', phone, 'Jo', 'Bench', 'Town', null, '10115', country, true
    from wanted order by n returning id, phone)
insert into public.bench_customer select w.n, m.id, w.code from wanted w join made m using (phone);
"""

ORDER = """begin\\; with o as (
    insert into shop.orders (customer_id, currency, checkout_url, total, status, paid_at, browser)
    values ((select id from public.bench_customer where n = {customer}), 'EUR',
        'https://shop.example.com/checkout/{n}', 25.80, 'paid', clock_timestamp(),
        '{{"ip": "203.0.113.7", "user_agent": "Mozilla/5.0", "fbp": "fb.1.1700000000000.123456789"}}')
    returning id)
insert into shop.order_items (order_id, product_id, sku, quantity, price)
select o.id, p.id, p.sku, 1, p.price_euro from o, shop.products p where p.id < 3\\; commit;
"""

MEMORY = "\\! grep -E '^(Private_Dirty|Private_Clean|Pss_Anon|Anonymous):' /proc/$BACKEND/smaps_rollup | tr -s ' ' | tr '\\n' ' '; echo\n"


def psql(database, script, env=()):
    done = subprocess.run(
        ["psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-d", database],
        input=script, capture_output=True, text=True, check=True,
    )
    return done.stdout


def times(database, n):
    """Milliseconds of each order of one new connection."""
    orders = "".join(ORDER.format(customer=1, n=f"{n}-{k}") for k in range(LATER + 1))
    out = psql(database, "set synchronous_commit = off;\n\\timing on\n" + orders)
    return [float(ms) for ms in re.findall(r"Time: ([0-9.]+) ms", out)]


def memory(database, preface=""):
    """Kilobytes (Private_Dirty, Private_Clean, Pss_Anon) before, and after each further code."""
    script = "set synchronous_commit = off;\nselect pg_backend_pid() as pid \\gset\n\\setenv BACKEND :pid\n"
    script += preface + MEMORY
    for customer in range(1, 8):
        script += ORDER.format(customer=customer, n=f"m-{customer}") + MEMORY
    for again in range(20):
        script += ORDER.format(customer=1 + again % 7, n=f"a-{again}")
    script += MEMORY
    rows = []
    for line in psql(database, script).splitlines():
        found = dict(re.findall(r"(\w+): (\d+) kB", line))
        if found:
            rows.append({k: int(v) for k, v in found.items()})
    return rows


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=150)
    options.add_argument("--title", default="")
    options = options.parse_args()
    shops = {"tracked": "shop_tracked", "untracked": "shop_untracked"}
    for database in shops.values():
        psql(database, SETUP)
    first, later = ({name: [] for name in shops} for _ in range(2))
    above = {name: [] for name in shops}
    for n in range(options.rounds + 5):
        for name, database in shops.items():
            took = times(database, n)
            if n < 5:
                continue
            usual = statistics.median(took[1:])
            first[name].append(took[0])
            later[name].append(usual)
            above[name].append(took[0] - usual)
    if options.title:
        print(f"\n{options.title}\n")
    print("| shop | first order, median ms | later, median | first above later, median | p90 |")
    print("|---|--:|--:|--:|--:|")
    for name in shops:
        print(
            f"| {name} | {statistics.median(first[name]):.2f} | {statistics.median(later[name]):.2f} "
            f"| {statistics.median(above[name]):.2f} | {percentile(above[name], 0.9):.2f} |"
        )
    difference = [t - u for t, u in zip(above["tracked"], above["untracked"])]
    print(
        f"| tracked above untracked | | | {statistics.median(difference):.2f} "
        f"| {percentile(difference, 0.9):.2f} |"
    )
    print("\n| private memory added, kB | 1 code | 3 codes | 7 codes | 20 more orders |")
    print("|---|--:|--:|--:|--:|")
    rows = {name: [memory(database) for _ in range(5)] for name, database in shops.items()}

    def added(name, at, keys):
        return statistics.median(
            sum(run[at][k] - run[0][k] for k in keys) for run in rows[name]
        )

    for label, keys in (
        ("anonymous", ["Anonymous"]),
        ("private dirty and clean", ["Private_Dirty", "Private_Clean"]),
    ):
        for name in shops:
            cells = " | ".join(f"{added(name, at, keys):,.0f}" for at in (1, 3, 7, 8))
            print(f"| {name}, {label} | {cells} |")
        cells = " | ".join(
            f"{added('tracked', at, keys) - added('untracked', at, keys):,.0f}" for at in (1, 3, 7, 8)
        )
        print(f"| tracked above untracked, {label} | {cells} |")


if __name__ == "__main__":
    main()
