//! Matches digits against the regular expressions of the numbering plans, straight from their
//! text: nothing is compiled, so nothing is kept in the memory of a backend.
//!
//! The plans use digits, `\d`, classes, groups, `|`, `?`, `{n}`, `{n,m}` and `$`. Alternatives
//! are tried in order and repetition takes the most, as in every backtracking matcher; a number
//! has at most a few dozen digits, so that this cannot take long.

/// Whether the pattern matches all of the digits.
pub(super) fn matches(pattern: &[u8], digits: &str) -> bool {
    let all = digits.len();
    Matcher::new(digits).any(pattern, 0, &mut |_, end| end == all)
}

/// What a pattern matches at the beginning of digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix<'d> {
    /// How many digits.
    pub(super) end: usize,
    /// What the last group that captures has matched.
    pub(super) group: Option<&'d str>,
}

/// Matches the beginning of the digits.
pub(super) fn prefix<'d>(pattern: &[u8], digits: &'d str) -> Option<Prefix<'d>> {
    let mut found = None;
    Matcher::new(digits).any(pattern, 0, &mut |matcher, end| {
        let group = matcher.group.map(|(from, to)| &digits[from..to]);
        found = Some(Prefix { end, group });
        true
    });
    found
}

/// What follows a match; it may refuse, and is asked again with the next one.
type Next<'n, 'd> = &'n mut dyn FnMut(&mut Matcher<'d>, usize) -> bool;

struct Matcher<'d> {
    digits: &'d [u8],
    /// The last group that captures and was closed: from and to.
    group: Option<(usize, usize)>,
}

/// One piece of a pattern.
#[derive(Clone, Copy)]
enum Piece<'p> {
    /// A set of digits, one bit for each.
    Digit(u16),
    Group {
        inner: &'p [u8],
        captures: bool,
    },
    End,
}

impl<'d> Matcher<'d> {
    fn new(digits: &'d str) -> Self {
        Self { digits: digits.as_bytes(), group: None }
    }

    /// Matches one of the alternatives.
    fn any(&mut self, mut pattern: &[u8], at: usize, next: Next<'_, 'd>) -> bool {
        loop {
            if self.sequence(pattern, at, next) {
                return true;
            }
            let Some(bar) = next_bar(pattern) else { return false };
            pattern = &pattern[bar + 1..];
        }
    }

    /// Matches the pieces up to the next `|` or the end.
    fn sequence(&mut self, pattern: &[u8], mut at: usize, next: Next<'_, 'd>) -> bool {
        let mut rest = pattern;
        // Most pieces are single digits: no call for them.
        loop {
            let Some((piece, after)) = piece(rest) else { return next(self, at) };
            let (least, most, after) = times(after);
            if let (Piece::Digit(set), true) = (piece, least == most) {
                for _ in 0..least {
                    if !self.is_in(set, at) {
                        return false;
                    }
                    at += 1;
                }
                rest = after;
                continue;
            }
            return self.repeat(piece, least, most, after, at, next);
        }
    }

    fn repeat(
        &mut self,
        piece: Piece<'_>,
        least: usize,
        most: usize,
        rest: &[u8],
        at: usize,
        next: Next<'_, 'd>,
    ) -> bool {
        let (fewer, less) = (least.saturating_sub(1), most.saturating_sub(1));
        let more = most > 0
            && match piece {
                Piece::Digit(set) => {
                    self.is_in(set, at) && self.repeat(piece, fewer, less, rest, at + 1, next)
                }
                Piece::End => at == self.digits.len() && self.sequence(rest, at, next),
                Piece::Group { inner, captures } => self.any(inner, at, &mut |matcher, end| {
                    let outer = matcher.group;
                    if captures {
                        matcher.group = Some((at, end));
                    }
                    let found = matcher.repeat(piece, fewer, less, rest, end, next);
                    if !found {
                        matcher.group = outer;
                    }
                    found
                }),
            };
        more || (least == 0 && self.sequence(rest, at, next))
    }

    fn is_in(&self, set: u16, at: usize) -> bool {
        self.digits.get(at).is_some_and(|digit| set >> (digit - b'0') & 1 == 1)
    }
}

/// The first piece of a sequence; none at its end.
fn piece(pattern: &[u8]) -> Option<(Piece<'_>, &[u8])> {
    let (&first, rest) = pattern.split_first()?;
    Some(match first {
        b'|' => return None,
        b'(' => {
            let close = closing(pattern);
            let inner = &pattern[1..close];
            let (captures, inner) = match inner.strip_prefix(b"?:") {
                Some(inner) => (false, inner),
                None => (true, inner),
            };
            (Piece::Group { inner, captures }, &pattern[close + 1..])
        }
        b'[' => {
            let (mut set, mut last) = (0, 0);
            let mut rest = rest.iter();
            while let Some(&c) = rest.next() {
                match c {
                    b']' => break,
                    b'-' => {
                        let to = rest.next().map_or(0, |c| c - b'0');
                        set |= (last..=to).fold(0, |set, digit| set | 1 << digit);
                    }
                    c => {
                        last = c - b'0';
                        set |= 1 << last;
                    }
                }
            }
            (Piece::Digit(set), rest.as_slice())
        }
        b'\\' => (Piece::Digit(0x3ff), &rest[1..]),
        b'$' => (Piece::End, rest),
        digit => (Piece::Digit(1 << (digit - b'0')), rest),
    })
}

/// How often the piece before may stand: least, most, and what follows.
fn times(pattern: &[u8]) -> (usize, usize, &[u8]) {
    match pattern.first() {
        Some(b'?') => (0, 1, &pattern[1..]),
        Some(b'{') => {
            let (mut numbers, mut which) = ([0, 0], 0);
            let mut used = 1;
            for &c in &pattern[1..] {
                used += 1;
                match c {
                    b'}' => break,
                    b',' => which = 1,
                    c => numbers[which] = numbers[which] * 10 + usize::from(c - b'0'),
                }
            }
            (numbers[0], numbers[which], &pattern[used..])
        }
        _ => (1, 1, pattern),
    }
}

/// What a byte of a pattern does to the depth of groups.
const DEPTH: [i8; 256] = {
    let mut depth = [0; 256];
    depth[b'(' as usize] = 1;
    depth[b')' as usize] = -1;
    depth
};

/// Where the group that begins a pattern is closed.
fn closing(pattern: &[u8]) -> usize {
    let mut depth = 0;
    let end = pattern.iter().position(|c| {
        depth += DEPTH[usize::from(*c)];
        depth == 0
    });
    end.unwrap_or(pattern.len() - 1)
}

/// Where the next alternative begins, less one.
fn next_bar(pattern: &[u8]) -> Option<usize> {
    let mut depth = 0;
    pattern.iter().position(|c| {
        depth += DEPTH[usize::from(*c)];
        *c == b'|' && depth == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_all_digits_or_none() {
        let pattern = br"(?:[2-7]\d|8[0-8]|9(?:1[02]|3))\d{3,5}";
        for digits in ["21000", "8890000", "9100000", "9123456", "93123"] {
            assert!(matches(pattern, digits), "{digits}");
        }
        for digits in ["", "2100", "21000000", "89000", "911000", "1234567"] {
            assert!(!matches(pattern, digits), "{digits}");
        }
        assert!(matches(b"[13-57-9]", "4") && !matches(b"[13-57-9]", "6"));
        assert!(matches(b"1?2{2}", "22") && matches(b"1?2{2}", "122"));
    }

    #[test]
    fn goes_back_where_the_first_way_fails() {
        assert!(matches(br"1(?:2|23)4", "1234"));
        assert!(matches(br"\d{2,5}9", "1239"));
        assert!(matches(br"(?:12?){2}3", "1123"));
    }

    #[test]
    fn finds_prefixes_and_groups() {
        let found = |pattern: &[u8], digits| prefix(pattern, digits).map(|p| (p.end, p.group));
        assert_eq!(found(b"0|180020", "0171"), Some((1, None)));
        assert_eq!(found(br"([2-9]\d{6})$|1", "2345678"), Some((7, Some("2345678"))));
        assert_eq!(found(br"([2-9]\d{6})$|1", "12345678"), Some((1, None)));
        assert_eq!(found(br"([2-9]\d{6})$|1", "23456789"), None);
        assert_eq!(found(br"(?:0|90)(?:(1[245]|31)(\d{10,11}))?", "0311133334444"), {
            Some((13, Some("1133334444")))
        });
        assert_eq!(found(br"0?(?:(11|22?)15)?", "0221512"), Some((5, Some("22"))));
        assert_eq!(found(br"0?(?:(11|22?)15)?", "4"), Some((0, None)));
    }
}
