//! Dates of birth: `YYYYMMDD`, a real calendar day from 1900 on (Meta's documentation, read
//! 2026-09-12).

use time::{Date, Month};

use super::identifier::Identifier;
use super::placeholder;
use super::reason::DropReason;
use crate::text;

/// The first year that Meta takes.
const FIRST_YEAR: i32 = 1900;

/// The order in which a source writes the parts of a date.
///
/// A year in front of month and day is read as such whatever the order says: nobody writes year,
/// day, month unless only that is a real day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateOrder {
    /// `2/16/1997`.
    MonthFirst,
    /// `16/2/1997`.
    DayFirst,
    /// `1997/2/16`; a year behind the others is none of this source's dates.
    YearFirst,
}

impl DateOrder {
    /// Reads the option of a source: `mdy`, `dmy` or `ymd`.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "mdy" => Some(Self::MonthFirst),
            "dmy" => Some(Self::DayFirst),
            "ymd" => Some(Self::YearFirst),
            _ => None,
        }
    }
}

/// A day of birth.
///
/// `1997-02-16` and `2/16/1997` are `19970216`; `02/03/1997` is ambiguous and `1997-02-30` is
/// no day.
#[derive(Clone, PartialEq, Eq)]
pub struct DateOfBirth(String);

crate::opaque::opaque_debug!(DateOfBirth);

impl DateOfBirth {
    /// Parses a day; `latest` is the last one that can be a birth, usually the event's.
    ///
    /// Three numbers, the year with four digits, in the only order that makes a real day, or in
    /// the `order` of the source. A time of day is accepted when it is midnight, as a `timestamp`
    /// column shows one.
    pub fn parse(
        value: &str,
        order: Option<DateOrder>,
        latest: Option<Date>,
    ) -> Result<Self, DropReason> {
        let folded = text::fold(value);
        if folded.is_empty() {
            return Err(DropReason::Empty);
        }
        if placeholder::is_placeholder(Identifier::DateOfBirth, &folded) {
            return Err(DropReason::Placeholder);
        }
        let day = read(without_midnight(&folded), order)?;
        if day.year() < FIRST_YEAR || latest.is_some_and(|latest| day > latest) {
            return Err(DropReason::ImpossibleDate);
        }
        let (year, month, day) = day.to_calendar_date();
        Ok(Self(format!("{year:04}{:02}{day:02}", u8::from(month))))
    }

    /// The eight digits that every platform takes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn read(text: &str, order: Option<DateOrder>) -> Result<Date, DropReason> {
    let text = alone(text).ok_or(DropReason::Malformed)?;
    let mut parts = text.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(all), None, ..) if all.len() == 8 => {
            real(&all[..4], &all[4..6], &all[6..]).ok_or(DropReason::ImpossibleDate)
        }
        // A year in front is followed by the month wherever it is written so.
        (Some(year), Some(b), Some(c), None) if year.len() == 4 => {
            real(year, b, c).or_else(|| real(year, c, b)).ok_or(DropReason::ImpossibleDate)
        }
        (Some(a), Some(b), Some(year), None) if year.len() == 4 => {
            match (real(year, a, b), real(year, b, a), order) {
                (Some(day), _, Some(DateOrder::MonthFirst)) => Ok(day),
                (_, Some(day), Some(DateOrder::DayFirst)) => Ok(day),
                (None, None, _) => Err(DropReason::ImpossibleDate),
                (_, _, Some(_)) => Err(DropReason::ImpossibleDate),
                (Some(day), None, None) | (None, Some(day), None) => Ok(day),
                (Some(one), Some(other), None) if one == other => Ok(one),
                (Some(_), Some(_), None) => Err(DropReason::Ambiguous),
            }
        }
        _ => Err(DropReason::Malformed),
    }
}

/// The digits and what stands between them, if that is only a date.
///
/// A letter between or behind the digits says something else of them: `1997-W07-7` is a week,
/// `1997-02-16BC` another era. Words in front (`born: …`) and a note in parentheses behind it
/// (`(mm/dd/yyyy)`) say nothing, nor do the signs of year, month and day.
fn alone(text: &str) -> Option<&str> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let (words, date) = text.split_at(start);
    let date = match date.split_once('(') {
        Some((date, note)) if note.ends_with(')') => date,
        _ => date,
    };
    let is_sign = |c: char| matches!(c, '年' | '月' | '日' | '년' | '월' | '일');
    let separates = |c: char| is_sign(c) || !text::is_word(c);
    let apart = |c: char| c != '-' && !text::is_word(c);
    (words.chars().next_back().is_none_or(apart)
        && date.chars().all(|c| c.is_ascii_digit() || separates(c)))
    .then_some(date)
}

fn real(year: &str, month: &str, day: &str) -> Option<Date> {
    if month.len() > 2 || day.len() > 2 {
        return None;
    }
    let month = Month::try_from(month.parse::<u8>().ok()?).ok()?;
    Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok()
}

/// Cuts ` 00:00:00`, with a zone or without, behind an ISO date.
fn without_midnight(text: &str) -> &str {
    match text.split_at_checked(10) {
        Some((date, time))
            if time.starts_with([' ', 't'])
                && time[1..].contains(':')
                && time[1..].chars().all(|c| matches!(c, '0' | ':' | '.' | '+' | 'z')) =>
        {
            date
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> Result<String, DropReason> {
        DateOfBirth::parse(value, None, None).map(|day| day.0)
    }

    #[test]
    fn worked_examples() {
        for value in ["1997-02-16", "2/16/1997", "16.2.1997", "19970216", "1997-02-16T00:00:00"] {
            assert_eq!(parse(value).as_deref(), Ok("19970216"), "{value}");
        }
        for value in [
            "1997年2月16日",
            "1997년 2월 16일",
            "16. 2. 1997.",
            "born 1997-02-16",
            "1997_02_16",
            "2/16/1997 (mm/dd/yyyy)",
            "1997-02-16 00:00:00+00",
        ] {
            assert_eq!(parse(value).as_deref(), Ok("19970216"), "{value}");
        }
        assert_eq!(parse("02/03/1997"), Err(DropReason::Ambiguous));
        assert_eq!(parse("1997-02-30"), Err(DropReason::ImpossibleDate));
        assert_eq!(parse("05/05/1997").as_deref(), Ok("19970505"));
    }

    #[test]
    fn the_order_of_the_source_decides() {
        let with = |order| DateOfBirth::parse("02/03/1997", Some(order), None).map(|day| day.0);
        assert_eq!(with(DateOrder::MonthFirst).as_deref(), Ok("19970203"));
        assert_eq!(with(DateOrder::DayFirst).as_deref(), Ok("19970302"));
        let wrong = DateOfBirth::parse("02/16/1997", Some(DateOrder::DayFirst), None);
        assert_eq!(wrong, Err(DropReason::ImpossibleDate));
        assert_eq!(with(DateOrder::YearFirst), Err(DropReason::ImpossibleDate));
        for order in ["mdy", "dmy", "ymd"] {
            let order = DateOrder::parse(order);
            let day = DateOfBirth::parse("1997-02-03", order, None).map(|day| day.0);
            assert_eq!(day.as_deref(), Ok("19970203"), "a year in front says it all");
        }
        assert_eq!(DateOrder::parse("dym"), None);
    }

    #[test]
    fn refuses_other_days_and_texts() {
        for value in ["1899-12-31", "29/02/1900", "15011990", "0000-00-00", "1990-13-32"] {
            assert_eq!(parse(value), Err(DropReason::ImpossibleDate), "{value}");
        }
        for value in ["97-02-16", "12/31/90", "1990", "Dec 31, 1990", "1990-12-31 10:00:00"] {
            assert_eq!(parse(value), Err(DropReason::Malformed), "{value}");
        }
        for value in [
            "1997-W07-7",
            "1997W077",
            "1997-02-16BC",
            "1997-02-16 BC",
            "19970216 AD",
            "AD1997-02-16",
            "-1997-02-16",
            "1997-02-16T10",
            "16th 02 1997",
            "２-16-1997",
            "1997-02-16 (x) 1",
        ] {
            assert_eq!(parse(value), Err(DropReason::Malformed), "{value}");
        }
        let today = Date::from_calendar_date(2026, Month::March, 1).expect("a day");
        let tomorrow = DateOfBirth::parse("2026-03-02", None, Some(today));
        assert_eq!(tomorrow, Err(DropReason::ImpossibleDate));
    }
}
