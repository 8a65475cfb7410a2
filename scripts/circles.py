"""Finds circles among the modules of each package: files that import each other, directly or through others.

A file imports what its `use` lines and paths name below `crate::`, `super::` and `self::`, and its children by
their names. Declaring a child (`mod x;`) is no import; re-exporting from it is. Tests of a file may look
wherever they like.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGES = ("core", "pg_extension", "sidecar", "tests", "tests/standin", "bench")


def modules(source):
    """Every file of a package by its path as a module: `('identity', 'email')`."""
    found = {}
    for file in sorted(source.rglob("*.rs")):
        parts = list(file.relative_to(source).with_suffix("").parts)
        if parts[-1] == "mod":
            parts.pop()
        if parts in (["lib"], ["main"]):
            parts = [] if parts == ["lib"] or not (source / "lib.rs").exists() else ["main"]
        if "tests" not in parts:
            found[tuple(parts)] = file
    return found


def code(file):
    """The text without comments, literals and what is compiled for tests only."""
    text = file.read_text()
    text = re.sub(r'r(#+)".*?"\1', '""', text, flags=re.S)
    text = re.sub(r'"(?:\\.|[^"\\])*"', '""', text, flags=re.S)
    text = re.sub(r"//[^\n]*", "", text)
    text = re.sub(r"pub\(in [\w:]+\)", "pub", text)
    return re.sub(r"#\[cfg\((?:any\()?test[^\]]*\]\s*(?:#\[[^\n]*\]\s*)*(pub(\([a-z]+\))? )?mod \w+ \{.*", "", text, flags=re.S)


def paths(tree):
    """Every path of a use tree: `a::{b, c::{d, e}}` names a::b, a::c::d and a::c::e."""
    head, brace, rest = tree.partition("{")
    head = head.strip().removesuffix("::")
    if not brace:
        yield re.sub(r"\s+as\s+\w+$", "", head)
        return
    depth, part = 0, ""
    for sign in rest[: rest.rindex("}")] + ",":
        depth += {"{": 1, "}": -1}.get(sign, 0)
        if sign == "," and depth == 0:
            if part.strip():
                yield from (f"{head}::{inner}" if head else inner for inner in paths(part.strip()))
            part = ""
        else:
            part += sign


def imports(module, file, known):
    """Modules that a file imports."""
    text = code(file)
    named = set()
    for tree in re.findall(r"\buse ([^;]+);", text):
        named |= set(paths(tree))
    named |= set(re.findall(r"\b(?:crate|super|self)(?:::\w+)+", text))
    named |= set(re.findall(r"(?<![\w:])\w+(?:::\w+)+", re.sub(r"\buse [^;]+;", "", text)))
    # What `use` has brought in by the name of a module is that module.
    aliases = {}
    for path in list(named):
        aliases.setdefault(path.split("::")[-1], path)
    found = set()
    for path in named:
        steps = path.split("::")
        if steps[0] == "crate":
            at, steps = (), steps[1:]
        elif steps[0] in ("self", "super"):
            at = module
            while steps and steps[0] in ("self", "super"):
                at = at[:-1] if steps[0] == "super" else at
                steps = steps[1:]
        elif module + (steps[0],) in known:
            at = module
        else:
            continue
        while steps and at + (steps[0],) in known:
            at, steps = at + (steps[0],), steps[1:]
        if at != module and (at in known) and (steps or at != ()):
            found.add(at)
    return found


def circles(graph):
    """Groups of modules that reach each other (Tarjan)."""
    index, low, stack, groups = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for to in graph[node]:
            if to not in index:
                visit(to)
                low[node] = min(low[node], low[to])
            elif to in stack:
                low[node] = min(low[node], index[to])
        if low[node] == index[node]:
            group = []
            while not group or group[-1] != node:
                group.append(stack.pop())
            if len(group) > 1:
                groups.append(sorted(group))

    for node in graph:
        if node not in index:
            visit(node)
    return groups


def main():
    sys.setrecursionlimit(10_000)
    bad = False
    for package in PACKAGES:
        source = ROOT / package / "src"
        known = modules(source)
        graph = {module: imports(module, file, known) for module, file in known.items()}
        for group in circles(graph):
            bad = True
            print(f"{package}: these {len(group)} files import each other:")
            for module in group:
                to = ", ".join("::".join(m) or "lib" for m in sorted(graph[module]) if m in group)
                print(f"  {known[module].relative_to(ROOT)} imports {to}")
    sys.exit(bad)


if __name__ == "__main__":
    main()
