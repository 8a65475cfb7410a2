"""Finds links in the pages that lead nowhere: a file that is not there, or a heading that its page has not."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def lines_outside_code(text):
    fenced = False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield line


def anchors(page):
    """The anchor of each heading, as GitHub makes it."""
    found = {}
    for line in lines_outside_code(page.read_text()):
        heading = re.match(r"#{1,6} (.*)", line)
        if not heading:
            continue
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading[1]).replace("`", "").replace("*", "")
        anchor = re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")
        count = found.get(anchor, 0)
        found[anchor] = count + 1
        if count:
            found[f"{anchor}-{count}"] = 1
    return found


def main():
    pages = [
        page
        for page in sorted(ROOT.rglob("*.md"))
        if not any(part == "target" or part.startswith(".") for part in page.relative_to(ROOT).parts)
    ]
    known = {page: anchors(page) for page in pages}
    wrong = []
    for page in pages:
        text = re.sub(r"`[^`\n]*`", "", "\n".join(lines_outside_code(page.read_text())))
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            there = (page.parent / path).resolve() if path else page
            if not there.exists() or anchor and anchor not in known.get(there, {}):
                wrong.append(f"{page.relative_to(ROOT)}: {target}")
    print("\n".join(wrong), file=sys.stderr, end="\n" if wrong else "")
    return 1 if wrong else 0


sys.exit(main())
