"""Checks that every relative link in the repository's Markdown pages leads to a file, and every anchor to a heading.

A link with a scheme or a host is not looked at, and neither is what stands in a block or span of code.
"""

import pathlib
import re
import subprocess
import sys
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\[\]]*\])*\]\(\s*<?([^)\s>]*)>?(?:\s+\"[^\"]*\")?\s*\)|^\[[^\]]+\]:\s+(\S+)", re.M)


def prose(text):
    """The text without fenced blocks, with its lines kept."""
    lines, fence = [], None
    for line in text.split("\n"):
        mark = re.match(r"\s*(`{3,}|~{3,})", line)
        inside = fence is not None
        if mark and (not inside or mark[1].startswith(fence)):
            fence = None if inside else mark[1]
        lines.append("" if mark or inside else line)
    return "\n".join(lines)


def anchors(text):
    """The anchors that GitHub gives to the headings of a page, and those the page sets itself."""
    found, seen = set(re.findall(r'<a (?:id|name)="([^"]+)"', text)), {}
    for heading in re.findall(r"^#{1,6}\s+(.*?)\s*#*$", text, re.M):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        times = seen[anchor] = seen.get(anchor, -1) + 1
        found.add(f"{anchor}-{times}" if times else anchor)
    return found


def main():
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    texts = {ROOT / name: prose((ROOT / name).read_text()) for name in names.split("\0") if (ROOT / name).is_file()}
    broken = []
    for page, text in texts.items():
        # A page is written to another folder than its template.
        if page.name.endswith(".template.md"):
            continue
        text = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", lambda span: re.sub(r"[^\n]", " ", span[0]) if "](" in span[0] else span[0], text)
        for link in LINK.finditer(text):
            target = link[1] or link[2]
            if re.match(r"[a-z][a-z0-9+.-]*:|//", target):
                continue
            path, _, anchor = urllib.parse.unquote(target).partition("#")
            file = (page.parent / path).resolve() if path else page
            where = f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, link.start()) + 1}: {target}"
            if not file.exists() or not file.is_relative_to(ROOT):
                broken.append(f"{where}: no such file")
            elif anchor and file in texts and anchor not in anchors(texts[file]):
                broken.append(f"{where}: no such heading")
    print("\n".join(broken) or f"{len(texts)} pages: every link leads somewhere")
    return 1 if broken else 0


sys.exit(main())
