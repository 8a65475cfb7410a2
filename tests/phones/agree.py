"""Compares the phone rule with libphonenumber, region by region.

The sample is generated, always the same. The oracle is the rule of docs/reference/identifiers.md on top of
what the Python port of libphonenumber answers. Run by scripts/phones.sh.
"""

import argparse
import collections
import pathlib
import random
import re
import subprocess
import sys
import unicodedata

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumberFormat, PhoneNumberType

PER_REGION = 480
TARGET = 0.999
SERVICES = sorted(phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS)
COUNTRIES = sorted(phonenumbers.SUPPORTED_REGIONS)


# ---------------------------------------------------------------------------------------------
# The sample
# ---------------------------------------------------------------------------------------------


class Dice:
    """Random choices that no version of Python changes."""

    def __init__(self, seed):
        self.random = random.Random(seed).random

    def below(self, n):
        return int(self.random() * n)

    def one_of(self, things):
        return things[self.below(len(things))]

    def percent(self, share):
        return self.random() * 100 < share

    def digits(self, n):
        return "".join(str(self.below(10)) for _ in range(n))


SCRIPTS = ["０", "٠", "۰", "०"]
SEPARATORS = [" ", "-", ".", "/", "\u00a0", "\u2013", "\u2011", " - ", "  ", "~", "\u2009"]
EXTENSIONS = [
    " ext. {}", " x{}", "x{}", ";ext={}", " ext {}", " Ext: {}", " extension {}", ",{}", ",,{}",
    " #{}", " доб. {}", " int {}", " {}#", " anexo {}", " extensión {}", " poste {}", " Durchwahl {}",
]
BEFORE = ["Tel: ", "tel:", "Phone ", "(", "☎ ", "T. ", "=", "'", "* "]
AFTER = [" (home)", ".", ",", " or 5550100", " mobile", "!", ")", "/", " -", ";isub=1", "/x2", "'"]
KEYS = {"2": "A", "3": "d", "4": "g", "5": "L", "6": "o", "7": "S", "8": "T", "9": "w"}


def metadata_of(region):
    if region.isdigit():
        return PhoneMetadata.metadata_for_nongeo_region(int(region))
    return PhoneMetadata.metadata_for_region(region)


def calling_code(region):
    return int(region) if region.isdigit() else phonenumbers.country_code_for_region(region)


def examples(region):
    """National numbers, one of every type that the region has."""
    found = []
    for kind in (
        "fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number",
        "voip", "pager", "uan", "voicemail",
    ):
        description = getattr(metadata_of(region), kind)
        if description is not None and description.example_number:
            found.append(description.example_number)
    return found


def exit_codes(region):
    """What is dialled in the region before a calling code."""
    pattern = metadata_of(region).international_prefix
    if not pattern:
        return ["00"]
    tried = ["00", "011", "0011", "000", "001", "010", "119", "009", "810", "99", "0014", "0031",
             "00700", "1400", "0", "00414", "119", "1901", "16", "14040011", "18100"]
    return [t for t in tried if re.fullmatch(pattern, t)] or ["00"]


def vary(dice, national):
    """A number near a valid one, or the valid one."""
    way = dice.below(100)
    if way < 15:
        return national
    if way < 55:
        cut = 1 + dice.below(min(5, len(national) - 1))
        return national[:-cut] + dice.digits(cut)
    if way < 72:
        at = dice.below(len(national))
        return national[:at] + dice.digits(1) + national[at + 1:]
    if way < 80:
        return national[: -(1 + dice.below(3))] or national
    if way < 88:
        return national + dice.digits(1 + dice.below(2))
    if way < 92:
        at = dice.below(len(national))
        return national[:at] + national[at + 1:]
    if way < 96:
        at = 1 + dice.below(3)
        return dice.digits(at) + national[at:]
    return dice.digits(4 + dice.below(10))


def write(dice, region, national):
    """A way to write the number."""
    code = str(calling_code(region))
    trunk = metadata_of(region).national_prefix or ""
    number = phonenumbers.PhoneNumber(country_code=int(code), national_number=int(national))
    zeros = len(national) - len(national.lstrip("0"))
    if zeros:
        number.italian_leading_zero, number.number_of_leading_zeros = True, zeros
    form = lambda which: phonenumbers.format_number(number, which)
    way = dice.below(100)
    if way < 12:
        return "+" + code + national
    if way < 22:
        return form(PhoneNumberFormat.INTERNATIONAL)
    if way < 36:
        return form(PhoneNumberFormat.NATIONAL)
    if way < 39:
        return form(PhoneNumberFormat.RFC3966)
    if way < 45:
        return code + national
    if way < 55:
        return national
    if way < 64:
        return trunk + national
    if way < 67:
        return dice.one_of(["0", "1", "8", "00", "06"]) + national
    if way < 72:
        return "+" + code + dice.one_of([" (0) ", "0", "(0)", " " + trunk, " (" + trunk + ")"]) + national
    if way < 78:
        return "00" + code + dice.one_of(["", " ", "0"]) + national
    if way < 83:
        return dice.one_of(exit_codes(region)) + " " + code + " " + national
    if way < 86:
        return "011" + code + national
    if way < 88:
        return "+" + dice.one_of(["+", "0", "00", "011", "(", " "]) + code + national
    if way < 89:
        return "tel:" + national + ";phone-context=+" + code
    if way < 90:
        return "+" + str(1 + dice.below(999)) + national
    # In groups, as people do.
    text = dice.one_of(["+" + code + " ", trunk, "", "(" + trunk]) + national[:3]
    rest = national[3:]
    while rest:
        length = 2 + dice.below(3)
        text += dice.one_of(SEPARATORS) + rest[:length]
        rest = rest[length:]
    return text


def adorn(dice, text):
    if dice.percent(15):
        separator = dice.one_of(SEPARATORS)
        text = re.sub("[ -]", lambda _: separator, text)
    if dice.percent(8):
        text += dice.one_of(EXTENSIONS).format(dice.digits(1 + dice.below(5)))
    if dice.percent(3):
        at = len(text) - 1 - dice.below(min(7, len(text)))
        text = text[:at] + "".join(KEYS.get(c, c) for c in text[at:])
    if dice.percent(5):
        zero = ord(dice.one_of(SCRIPTS))
        text = "".join(chr(zero + int(c)) if c in "0123456789" else c for c in text)
    if dice.percent(3):
        text = dice.one_of(BEFORE) + text
    if dice.percent(3):
        text += dice.one_of(AFTER)
    if dice.percent(1):
        at = dice.below(len(text))
        text = text[:at] + dice.one_of(["a", "+", " ", ",", "é", "_", "0", "#", "\u200b"]) + text[at:]
    return text


def sample(seed):
    """Region, text and country, for every region and service."""
    for region in COUNTRIES + [str(code) for code in SERVICES]:
        dice = Dice(seed + "/" + region)
        natives = examples(region)
        for n in range(PER_REGION):
            national = vary(dice, natives[n % len(natives)])
            text = adorn(dice, write(dice, region, national))
            way = dice.below(100)
            if way < 60 and not region.isdigit():
                country = region
            elif way < 80:
                country = ""
            else:
                country = dice.one_of(COUNTRIES)
            yield region, text, country


# ---------------------------------------------------------------------------------------------
# The oracle: the page's rule on top of libphonenumber's answers
# ---------------------------------------------------------------------------------------------

PLUS = "+＋"

# White space that libphonenumber does not take for a separator, and this project does.
STRANGE_SPACE = "[\u2000-\u200a\t\n\u2028\u2029\u202f\u205f]"


def ascii_digits(text):
    return "".join(str(unicodedata.digit(c)) for c in text if c.isdecimal())


def without_zeros(text):
    """Cuts two zeros of any script, and what separates them, from the beginning."""
    found = re.match(r"(\d)[\s().\-–~/\u200b]*(\d)", text)
    if found is None or ascii_digits(found.group(0)) != "00" or text[found.end():].startswith("+"):
        return None
    return text[found.end():]


def parsed(text, country=None):
    try:
        return phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return None


def e164(number):
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def is_valid(number):
    return number is not None and phonenumbers.is_valid_number(number)


def is_possible(number):
    """Possible, and no filler such as 555 555 5555."""
    if number is None or not phonenumbers.is_possible_number(number):
        return False
    national = phonenumbers.national_significant_number(number)
    return is_valid(number) or len(set(national)) > 1


def oracle(text, country):
    """What the page demands, and which of its sentences decided."""
    text = re.sub(STRANGE_SPACE, " ", text.strip())
    country = country or None
    start = re.search("[" + PLUS + r"\d]", text)
    if start is None:
        return None, "no number"
    from_start = text[start.start():]
    if len(set(ascii_digits(re.split("[A-Za-zд#;,]", from_start)[0]))) == 1:
        return None, "placeholder"
    if ";phone-context=" in text:
        number = parsed(text, country)
        return (e164(number) if is_possible(number) else None), "plus"
    if from_start[0] in PLUS:
        behind = without_zeros(from_start.lstrip(PLUS + " ("))
        number = parsed("+" + behind) if behind else parsed(from_start, country)
        return (e164(number) if is_possible(number) else None), "plus"
    behind = without_zeros(from_start)
    if behind is not None:
        number = parsed("+" + behind)
        if is_possible(number):
            return e164(number), "zeros"
    if country is None:
        letters = re.sub(r"(?i)[ ,;]*(isub|ext|x|int|доб|anexo).*", "", from_start)
        if len(re.findall("[A-Za-z]", letters)) >= 3:
            return None, "no country"
        number = parsed("+" + from_start)
        return (e164(number) if is_valid(number) else None), "no country"
    code = calling_code(country)
    if ascii_digits(from_start).startswith(str(code)):
        number = parsed("+" + from_start)
        if is_valid(number) and number.country_code == code:
            return e164(number), "digits without plus"
    number = parsed(text, country)
    return (e164(number) if is_valid(number) else None), "inferred"


# ---------------------------------------------------------------------------------------------
# The comparison
# ---------------------------------------------------------------------------------------------

KNOWN = {
    "comes back as another number": (
        "Behind the calling code stands a trunk zero before another zero. libphonenumber cuts the "
        "first one and calls the rest possible; reading its answer again cuts the next. The page "
        "demands that a normalised value stays as it is when it is normalised again, so what is "
        "merely possible and does not stay is dropped."
    ),
    "a word among digits of another script": (
        "libphonenumber takes three Latin letters for the keys of a telephone and then forgets "
        "every digit that is not ASCII: `+٢٠٢٣٤٥٦٧٨٩٣ Durchwahl ٩٥` becomes `+387249245`, the "
        "keys of the word. A wrong digest is worse than none: dropped."
    ),
    "the country's own prefix for dialling abroad begins with 00": (
        "`009 62 218350903` in Indonesia, where `009` leads abroad. The page accepts what is "
        "possible behind `00`, here `+962 218350903` in Jordan, which does not exist; as "
        "libphonenumber does when it is asked for Indonesia, we take `+62 218350903`, which is "
        "valid. Behind `00` a valid number still comes first."
    ),
}


def why(text, country, rule, expected, got):
    """The known difference that explains this one."""
    letters = re.findall("[A-Za-z]", re.sub("(?i)ext[.]?", "", text))
    if got is None and len(letters) >= 3 and any(c.isdecimal() and not c.isascii() for c in text):
        return "a word among digits of another script"
    if got is None and expected is not None and rule in ("plus", "zeros"):
        number = phonenumbers.parse(expected)
        again = parsed(expected)
        if again is None or e164(again) != expected or not is_valid(number):
            return "comes back as another number"
    if rule == "zeros" and got is not None and country:
        number = parsed(re.sub(STRANGE_SPACE, " ", text), country)
        if is_valid(number) and e164(number) == got and not is_valid(parsed(expected)):
            return "the country's own prefix for dialling abroad begins with 00"
    return "unexplained"


class Tally:
    def __init__(self):
        self.all = collections.Counter()
        self.agree = collections.Counter()

    def add(self, key, agrees):
        self.all[key] += 1
        self.agree[key] += agrees

    def share(self, keys=None):
        keys = list(self.all if keys is None else keys)
        return sum(self.agree[k] for k in keys) / sum(self.all[k] for k in keys)

    def row(self, key):
        n, same = self.all[key], self.agree[key]
        return f"| {key} | {n:,} | {same:,} | {n - same} | {same / n:.2%} |"


def compare(program, seed):
    rows = list(sample(seed))
    lines = "".join(f"{text}\t{country}\n" for _, text, country in rows)
    answers = subprocess.run(
        [program], input=lines, capture_output=True, encoding="utf-8", check=True
    ).stdout.splitlines()
    assert len(answers) == len(rows), "one answer per number"
    regions, rules, differing = Tally(), Tally(), collections.defaultdict(list)
    for (region, text, country), answer in zip(rows, answers):
        expected, rule = oracle(text, country)
        got = answer if answer.startswith("+") else None
        regions.add(region, got == expected)
        rules.add(rule, got == expected)
        if re.search(STRANGE_SPACE, text):
            rules.add(STRANGE, got == expected)
        if got != expected:
            differing[why(text, country, rule, expected, got)].append(
                (region, text, country, expected, got)
            )
    return regions, rules, differing


STRANGE = "with white space that libphonenumber does not take for a separator"
RULES = {
    "plus": "behind an explicit `+`: possible",
    "zeros": "behind an explicit `00`: possible",
    "inferred": "of the country given: valid",
    "digits without plus": "apart: digits without `+` that begin with the calling code of the country",
    "no country": "no country: valid behind a `+`, no letters",
    "placeholder": "one digit repeated: dropped",
    "no number": "no digits: dropped",
    STRANGE: "of all these, " + STRANGE,
}


def report(regions, rules, differing):
    apart = regions.all.total() - rules.all["digits without plus"]
    same = regions.agree.total() - rules.agree["digits without plus"]
    lines = [
        "# Phone numbers: agreement with libphonenumber",
        "",
        "Written by `scripts/phones.sh --write`; `make test` runs the same comparison and fails below "
        f"{TARGET:.1%}.",
        "",
        f"libphonenumber is the PyPI package `phonenumbers` {phonenumbers.__version__}, whose metadata is "
        "of the same release as ours. The sample is generated, always the same: for each of the "
        f"{len(COUNTRIES)} countries and territories and {len(SERVICES)} services without a country, {PER_REGION} "
        "texts made from valid examples of every type, with digits changed, cut and added; in E.164, international, "
        "national and RFC 3966 format, with and without trunk prefix, with a wrong one, with the "
        "country's prefix for dialling abroad, with separators, extensions, letters, full-width, Arabic, "
        "Persian and Indian digits, and remarks before and after; with the right country, a wrong one and none "
        "(`tests/phones/agree.py`). The oracle is the rule of [identifiers.md](identifiers.md) on top of "
        "libphonenumber's answer.",
        "",
        f"**{same:,} of {apart:,} agree: {same / apart:.3%}**; with the digits without plus, "
        f"{regions.agree.total():,} of {regions.all.total():,}: {regions.share():.3%}.",
        "",
        "## By the sentence of the rule that decides",
        "",
        "Two kinds have an oracle of their own: digits without `+`, for which it is libphonenumber's answer "
        "to the same digits with a `+`, where that is valid; and texts with white space that libphonenumber does "
        "not take for a separator (a thin space, a tab), for which it is the answer to the text with plain spaces.",
        "",
        "| rule | numbers | agree | differ | share |",
        "|---|--:|--:|--:|--:|",
    ]
    lines += [rules.row(key).replace(f"| {key} |", f"| {RULES[key]} |") for key in RULES if rules.all[key]]
    lines += ["", "## What differs, and why", ""]
    for category in sorted(differing, key=lambda c: -len(differing[c])):
        found = differing[category]
        lines.append(f"**{category}** ({len(found)}). {KNOWN.get(category, '')}")
        lines += ["", "| text | country | libphonenumber | here |", "|---|---|---|---|"]
        for _, text, country, expected, got in found[:6]:
            shown = text.replace("|", "\\|")
            lines.append(f"| `{shown}` | {country or 'none'} | {expected or 'dropped'} | {got or 'dropped'} |")
        lines.append("")
    lines += ["## By region", "", "| region | numbers | agree | differ | share |", "|---|--:|--:|--:|--:|"]
    lines += [regions.row(region) for region in sorted(regions.all)]
    return "\n".join(lines) + "\n"


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--program", required=True, help="core/examples/phones.rs, built")
    options.add_argument("--report", type=pathlib.Path, required=True, help="docs/reference/phones.md")
    options.add_argument("--write", action="store_true", help="write the report")
    options.add_argument("--seed", default="phones", help="another one, another sample")
    options.add_argument("--show", type=int, default=0, help="how many differences of a kind to print")
    options = options.parse_args()
    regions, rules, differing = compare(options.program, options.seed)
    for category, found in differing.items():
        for line in found[: options.show]:
            print(category, *line, sep=" | ")
    text = report(regions, rules, differing)
    if options.write:
        options.report.write_text(text, encoding="utf-8")
    elif not options.report.exists() or options.report.read_text(encoding="utf-8") != text:
        print("docs/reference/phones.md is not of this state: scripts/phones.sh --write", file=sys.stderr)
    others = [rule for rule in rules.all if rule not in ("digits without plus", STRANGE)]
    shares = {
        "apart from digits without plus": rules.share(others),
        "digits without plus": rules.share(["digits without plus"]),
    }
    print(f"phones: {regions.all.total():,} numbers,", ", ".join(f"{s:.3%} {what}" for what, s in shares.items()))
    return min(shares.values()) < TARGET


if __name__ == "__main__":
    sys.exit(main())
