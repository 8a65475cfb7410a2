"""Compares the phone rule with libphonenumber, region by region.

The sample is generated, always the same. The oracle is the rule of docs/identifiers.md on top of
what the Python port of libphonenumber answers. Run by scripts/phones.sh.
"""

import argparse
import collections
import itertools
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


def sample():
    """Region, text and country, for every region and service."""
    for region in COUNTRIES + [str(code) for code in SERVICES]:
        dice = Dice("phones/" + region)
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


def ascii_digits(text):
    return "".join(str(unicodedata.digit(c)) for c in text if c.isdecimal())


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
    text = text.strip()
    start = re.search("[" + PLUS + r"\d]", text)
    if start is None:
        return None, "no number"
    text_from_start = text[start.start():]
    country = country or None
    whole = parsed(text_from_start, country) or parsed("+" + text_from_start)
    if whole is not None and len(set(ascii_digits(text_from_start.split("ext")[0]))) == 1:
        return None, "placeholder"
    has_context = ";phone-context=+" in text
    if text_from_start[0] in PLUS or has_context:
        number = parsed(text if has_context else re.sub("^[" + PLUS + r"]+\s*00", "+", text_from_start), country)
        return (e164(number) if is_possible(number) else None), "plus"
    zeros = re.match(r"\D{0}0\D*?0", text_from_start)
    if ascii_digits(text_from_start)[:2] == "00":
        second = [m.end() for m in itertools.islice(re.finditer(r"\d", text_from_start), 2)][1]
        number = parsed("+" + text_from_start[second:])
        if is_possible(number):
            return e164(number), "zeros"
    if country is None:
        number = parsed("+" + text_from_start)
        letters = re.sub(r"(?i)[ ,;]*(ext|x|int|доб|anexo).*", "", text_from_start)
        if len(re.findall("[A-Za-z]", letters)) >= 3:
            return None, "no country"
        return (e164(number) if is_valid(number) else None), "no country"
    code = calling_code(country)
    if ascii_digits(text_from_start).startswith(str(code)):
        number = parsed("+" + text_from_start)
        if is_valid(number) and number.country_code == code:
            return e164(number), "digits without plus"
    number = parsed(text, country)
    return (e164(number) if is_valid(number) else None), "inferred"


# ---------------------------------------------------------------------------------------------
# The comparison
# ---------------------------------------------------------------------------------------------


def categories(text, country, rule, expected, got):
    """Why they differ, in the words of the table of known differences."""
    if re.search("[\u2000-\u200a\t\n\u2028\u2029\u202f\u205f]", text):
        return "white space"
    return "other (" + rule + ")"


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--program", required=True)
    options.add_argument("--report", type=pathlib.Path)
    options.add_argument("--show", type=int, default=0)
    options = options.parse_args()
    rows = list(sample())
    lines = "".join(f"{text}\t{country}\n" for _, text, country in rows)
    answers = subprocess.run(
        [options.program], input=lines, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len(answers) == len(rows), "one answer per number"
    total, agree, rules, differing = (collections.Counter() for _ in range(4))
    shown = []
    for (region, text, country), answer in zip(rows, answers):
        expected, rule = oracle(text, country)
        got = answer if answer.startswith("+") else None
        total[region] += 1
        rules[rule] += 1
        if got == expected:
            agree[region] += 1
        else:
            why = categories(text, country, rule, expected, got)
            differing[why] += 1
            shown.append((why, region, text, country, rule, expected, answer))
    share = sum(agree.values()) / sum(total.values())
    print(f"{sum(agree.values())} of {sum(total.values())} agree: {share:.4%}")
    print(rules, differing)
    for line in shown[: options.show]:
        print(line)
    return share < TARGET


if __name__ == "__main__":
    sys.exit(main())
