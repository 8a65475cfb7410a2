//! What of a text is a telephone number: its digits, without what stands around them, without
//! the extension, letters read as the keys that they stand for.

/// The longest text that can hold a number, in characters, as in libphonenumber.
const LONGEST: usize = 250;

/// A number as it was written, not yet understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// All digits, as ASCII, without plus.
    pub(super) digits: String,
    /// Whether a plus stands before them.
    pub(super) has_plus: bool,
    /// Whether letters take the place of digits, as in `1-800-FLOWERS`.
    pub(super) has_letters: bool,
}

impl Written {
    pub(super) fn read(value: &str) -> Option<Self> {
        if value.chars().nth(LONGEST).is_some() {
            return None;
        }
        match value.split_once(";phone-context=") {
            None => Self::read_number(value),
            // A `tel` URI of RFC 3966: a number within another one, or within a network.
            Some((local, context)) => {
                let local = local.split_once("tel:").map_or(local, |(_, local)| local);
                let context = context.split_once(';').map_or(context, |(context, _)| context);
                match context.strip_prefix('+') {
                    Some(digits) if has_only(digits, |c| digit(c).is_some(), "-.()") => {
                        Self::read_number(&format!("{context}{local}"))
                    }
                    None if has_only(context, |c| c.is_ascii_alphanumeric(), "-.") => {
                        Self::read_number(local)
                    }
                    _ => None,
                }
            }
        }
    }

    fn read_number(value: &str) -> Option<Self> {
        let text = &value[value.find(|c: char| is_plus(c) || digit(c).is_some())?..];
        let text = text.trim_end_matches(|c: char| !c.is_alphanumeric() && c != '#');
        let text = text.split_once(";isub=").map_or(text, |(text, _)| text);
        let text = first_of_two(text);
        let number = match without_extension(text) {
            // `00~33~806623456` is not an extension of `0033`.
            Some(number) if is_number(number.strip_prefix("00").unwrap_or(number)) => number,
            _ if is_number(text) => text,
            _ => return None,
        };
        let has_letters = number.chars().filter(char::is_ascii_alphabetic).nth(2).is_some();
        let mut is_mixed = false;
        let digits = number.chars().filter_map(|c| match digit(c) {
            Some(digit) => {
                is_mixed |= has_letters && digit != c;
                Some(digit)
            }
            None if has_letters => key(c),
            None => None,
        });
        let digits = digits.collect();
        // Keys have Latin letters and digits: a word among others is a remark.
        if is_mixed {
            return None;
        }
        Some(Self { digits, has_plus: number.starts_with(is_plus), has_letters })
    }
}

/// Whether a text has characters of one kind, and perhaps some others.
fn has_only(text: &str, is_kind: impl Fn(char) -> bool, others: &str) -> bool {
    text.chars().any(&is_kind) && text.chars().all(|c| is_kind(c) || others.contains(c))
}

/// Whether three digits come first, among separators, and nothing strange after them.
fn is_number(text: &str) -> bool {
    let mut digits = 0;
    text.trim_start_matches(is_plus).chars().all(|c| {
        digits += usize::from(digit(c).is_some());
        digit(c).is_some() || is_separator(c) || (digits >= 3 && c.is_ascii_alphabetic())
    }) && digits >= 3
}

/// `(530) 583-6985 x302/x2303` are two numbers: the extensions of one.
fn first_of_two(text: &str) -> &str {
    let slash = text
        .match_indices(['/', '\\'])
        .find(|(at, _)| text[at + 1..].trim_start_matches(' ').starts_with('x'));
    slash.map_or(text, |(at, _)| &text[..at])
}

/// Words for an extension, each of which may be followed by many digits.
const WORDS: [&str; 15] = [
    "extensio",
    "extension",
    "extensió",
    "extensión",
    "extensio\u{301}",
    "extensio\u{301}n",
    "extensi",
    "extensin",
    "ext",
    "extn",
    "ｅｘｔ",
    "ｅｘｔｎ",
    "ｘｔ",
    "доб",
    "anexo",
];

/// Signs and words that may also mean something else: only short extensions follow.
const SHORT_WORDS: [&str; 8] = ["int", "ｉｎｔ", "x", "ｘ", "#", "＃", "~", "～"];

/// Cuts an extension: `ext. 12`, `x12`, `;ext=12`, `,,12`, ` 12#`.
fn without_extension(text: &str) -> Option<&str> {
    let (body, has_hash) = text.strip_suffix('#').map_or((text, false), |body| (body, true));
    let front = body.trim_end_matches(|c| digit(c).is_some());
    let length = body[front.len()..].chars().count();
    if !(1..=20).contains(&length) {
        return None;
    }
    if !has_hash && let Some(number) = without_word(front, ";ext=") {
        return Some(number);
    }
    let label = front.trim_end_matches(|c| is_gap(c) || c == '-');
    let label = label.strip_suffix([':', '.', '．']).unwrap_or(label);
    if label
        .ends_with(|c: char| c.is_alphabetic() || matches!(c, '#' | '＃' | '~' | '～' | '\u{301}'))
    {
        let first = |words: &[&str]| words.iter().find_map(|word| without_word(label, word));
        // The `e` may be missing: `xt`.
        let without_e = WORDS.map(|word| word.strip_prefix('e').unwrap_or(word));
        if let Some(number) = first(&WORDS).or_else(|| first(&without_e)) {
            return Some(number);
        }
        if length <= 9
            && let Some(number) = first(&SHORT_WORDS)
        {
            return Some(number);
        }
    }
    if has_hash && length <= 6 && front.ends_with([' ', '-']) {
        return Some(front);
    }
    // Signs for a pause in dialling, at most nine digits behind a single comma.
    let pause = front.trim_end_matches(|c| is_gap(c) || matches!(c, '-' | ':' | '.' | '．' | ';'));
    let signs = &front[pause.len()..];
    let at = signs.find([',', ';'])?;
    let (_, signs) = signs.split_at(at);
    let most = if signs.starts_with(',') && !signs.starts_with(",,") { 9 } else { 15 };
    let rest = signs[1..].trim_start_matches(',');
    let rest = rest.strip_prefix([':', '.', '．']).unwrap_or(rest);
    let is_clean = rest.chars().all(|c| is_gap(c) || c == '-');
    (length <= most && is_clean).then(|| &front[..pause.len() + at])
}

/// Cuts a word from the end, in any case, and what stands before it.
fn without_word<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    let mut rest = text.chars();
    let is_there = word
        .chars()
        .rev()
        .all(|expected| rest.next_back().is_some_and(|c| c.to_lowercase().eq([expected])));
    is_there.then(|| rest.as_str().trim_end_matches(is_gap))
}

fn is_plus(c: char) -> bool {
    matches!(c, '+' | '＋')
}

/// What may stand between a number and its extension.
fn is_gap(c: char) -> bool {
    matches!(c, ' ' | '\u{a0}' | '\t' | ',')
}

/// White space and the signs between groups of digits.
fn is_separator(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '-' | '(' | ')' | '.' | '/' | '[' | ']' | '~' | '*' | 'x')
        || matches!(c, '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{ad}' | '\u{200b}' | '\u{2060}')
        || matches!(c, 'ー' | '－' | '（' | '）' | '．' | '／' | '［' | '］' | '⁓' | '∼' | '～')
}

/// Zeros of scripts that people type numbers in; the other digits follow each.
const ZEROS: [char; 22] = [
    '0', '٠', '۰', '߀', '०', '০', '੦', '૦', '୦', '௦', '౦', '೦', '൦', '෦', '๐', '໐', '༠', '၀', '០',
    '᠐', '０', '𑄶',
];

/// The ASCII digit of a decimal digit: people also type full-width, Arabic and Indian ones.
fn digit(c: char) -> Option<char> {
    if c.is_ascii() {
        return c.is_ascii_digit().then_some(c);
    }
    let value =
        ZEROS.into_iter().find_map(|zero| (c as u32).checked_sub(zero as u32).filter(|d| *d < 10));
    value.and_then(|value| char::from_digit(value, 10))
}

/// The key of a telephone that a letter stands on.
fn key(c: char) -> Option<char> {
    Some(match c.to_ascii_lowercase() {
        'a'..='c' => '2',
        'd'..='f' => '3',
        'g'..='i' => '4',
        'j'..='l' => '5',
        'm'..='o' => '6',
        'p'..='s' => '7',
        't'..='v' => '8',
        'w'..='z' => '9',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(value: &str) -> Option<String> {
        Written::read(value).map(|w| format!("{}{}", if w.has_plus { "+" } else { "" }, w.digits))
    }

    #[test]
    fn takes_the_number_out_of_a_text() {
        for (value, expected) in [
            ("Tel.: +44 (0)20 7946-0958.", "+4402079460958"),
            ("(212) 555.0123", "2125550123"),
            ("1-800-FLOWERS", "18003569377"),
            ("０６１２３４５６７８", "0612345678"),
            ("٠١٢٣٤٥٦٧٨٩", "0123456789"),
            ("९८७६५४३२१०", "9876543210"),
            ("（03）3123－4567", "0331234567"),
            ("tel:+1-201-555-0123;ext=4", "+12015550123"),
            ("tel:555-0123;phone-context=+1-201", "+12015550123"),
            ("tel:201-555-0123;phone-context=example.com", "2015550123"),
            ("tel:+12015550123;isub=12345", "+12015550123"),
        ] {
            assert_eq!(digits(value).as_deref(), Some(expected), "{value}");
        }
    }

    #[test]
    fn cuts_extensions() {
        for extension in [
            " ext. 4",
            "x4",
            " X 4",
            " extn 4",
            " Extension: 4",
            " extensión 4",
            " доб. 4",
            " #4",
            " int 4",
            ",4",
            ",,4",
            ";4",
            " 4#",
            " anexo 4",
            ";ext=4",
            " xt4",
            " x 4#",
            ", ext 4",
            " x302/x2303",
            " ~ 4",
            " ｅｘｔ 4",
        ] {
            let value = format!("+1 201 555 0123{extension}");
            assert_eq!(digits(&value).as_deref(), Some("+12015550123"), "{value}");
        }
    }

    #[test]
    fn refuses_other_texts() {
        for value in ["", "call me", "+", "12", "2 tickets", "030_123456", "1+2345678"] {
            assert_eq!(digits(value), None, "{value}");
        }
        assert_eq!(digits(&"1".repeat(251)), None);
    }
}
