"""The section of docs/contributing/benchmarks.md that a run of bench/capture.py fills, as Markdown."""

import statistics

# The rows of the plan's table of targets that are about capture; what each is measured by.
ROWS = [
    ("commit throughput with tracking on (8 clients), against a deferred plpgsql trigger that reads the same view row "
     "and inserts one constant row", ">= 0.8, stretch 1.0", "commit", ("ratios", "tracked to constant", "throughput")),
    ("the same against a hand-written deferred plpgsql trigger that builds the same payload from the same view with "
     "built-in `sha256`", ">= 2.5", "commit", ("ratios", "tracked to hand", "throughput")),
    ("commit throughput, 64 clients, 1 ms flush (`commit_delay`), sidecar running, against the same without wake-up",
     ">= 0.9", "bell", ("ratios", "bell to no bell", "throughput")),
    ("the same with the sidecar frozen (SIGSTOP) while armed", ">= 0.4", "bell",
     ("ratios", "frozen to no sidecar", "throughput")),
    ("COPY of 100,000 orders in one transaction: added time against one hand-written set-based INSERT … SELECT of the "
     "same payload at commit", "<= 1.3", "copy", ("ratios", "added by capi to added by set", "time")),
    ("memory of it: bytes per order, noted", "<= 32", "copy", ("bytes_per_order", "noted")),
    ("memory of it: bytes per order at the peak, the commit's included", "<= 32", "copy", ("bytes_per_order", "peak")),
    ("first capture in a new backend, above later ones, ms", "<= 5", "first", ("above_later_ms",)),
    ("first capture: private memory added, MB", "<= 2", "first", ("memory_mb",)),
]


def found(result, path):
    for step in path:
        if not isinstance(result, dict) or step not in result:
            return None
        result = result[step]
    return result


def rows(results):
    yield "| what | target | median | lowest to highest |"
    yield "|---|--:|--:|--:|"
    for what, target, part, path in ROWS:
        value = found(results.get(part), path)
        if value is None:
            yield f"| {what} | {target} | not measured | |"
        else:
            digits = 1 if value["median"] >= 10 else 2
            yield (f"| {what} | {target} | **{value['median']:.{digits}f}** "
                   f"| {value['low']:.{digits}f} to {value['high']:.{digits}f} |")


def spread(values, digits=0):
    return f"{statistics.median(values):,.{digits}f} | {min(values):,.{digits}f} to {max(values):,.{digits}f}"


def throughput(part, result):
    names = {"commit": "8 clients", "bell": f"64 clients, `commit_delay` {result.get('commit_delay_us')} µs"}
    yield ""
    yield f"| {names[part]} | orders per second, median | lowest to highest | processor time of the backend, µs per order |"
    yield "|---|--:|--:|--:|"
    for name, runs in result["runs"].items():
        cpu = statistics.median(run["backend_us"] for run in runs)
        yield f"| {name} | {spread([run['tps'] for run in runs])} | {cpu:,.0f} |"
    if part == "commit":
        bound = result["ratios"]["untracked to hand"]["throughput"]
        yield ""
        yield (f"Without any trigger the throughput is {bound['median']:.2f} times the hand-written one's "
               f"({bound['low']:.2f} to {bound['high']:.2f}): no capture could do better than that.")


def copy(result):
    yield ""
    yield f"| COPY of {result['orders']:,} orders | seconds, median | lowest to highest | of these the commit | memory at its peak, MB |"
    yield "|---|--:|--:|--:|--:|"
    for name, runs in result["runs"].items():
        commit = statistics.median(run["commit_s"] for run in runs)
        peak = statistics.median(run["peak_kb"] for run in runs) / 1024
        yield f"| {name} | {spread([run['seconds'] for run in runs], 2)} | {commit:.2f} | {peak:.1f} |"


def instructions(result):
    yield ""
    if not result.get("per_order"):
        yield "Instructions per order: not available here, neither perf nor Valgrind can count them."
        return
    by = {"perf": "counted by the processor", "valgrind": "counted by Valgrind, whose processor has no SHA extensions"}
    per_order = result["per_order"]
    yield f"| instructions per order, {by[result['counted_by']]} | all | above untracked |"
    yield "|---|--:|--:|"
    for name, count in per_order.items():
        yield f"| {name} | {count:,} | {count - per_order['untracked']:,} |"


def section(results):
    """All of it."""
    lines = list(rows(results))
    for part in ("commit", "bell"):
        if part in results:
            lines += throughput(part, results[part])
    if "copy" in results:
        lines += copy(results["copy"])
    if "instructions" in results:
        lines += instructions(results["instructions"])
    return "\n".join(lines)
