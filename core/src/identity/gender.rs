//! Gender: `f` or `m`, as Meta's documentation has it (read 2026-09-12). Longer word lists, such
//! as that of Meta's builder, guess; a value outside of the four words is dropped.

use super::identifier::Identifier;
use super::placeholder;
use super::reason::DropReason;
use crate::text;

/// A gender that platforms know.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Gender {
    /// `f`, `female`.
    Female,
    /// `m`, `male`.
    Male,
}

crate::opaque::opaque_debug!(Gender);

impl Gender {
    /// Parses `f`, `female`, `m` or `male` in any case.
    pub fn parse(value: &str) -> Result<Self, DropReason> {
        let folded = text::fold(value);
        match &*folded {
            "" => Err(DropReason::Empty),
            "f" | "female" => Ok(Self::Female),
            "m" | "male" => Ok(Self::Male),
            other if placeholder::is_placeholder(Identifier::Gender, other) => {
                Err(DropReason::Placeholder)
            }
            _ => Err(DropReason::NotAGender),
        }
    }

    /// The letter that every platform takes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Female => "f",
            Self::Male => "m",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_examples() {
        for (value, expected) in [("f", "f"), (" Female ", "f"), ("M", "m"), ("male", "m")] {
            assert_eq!(Gender::parse(value).expect(value).as_str(), expected);
        }
        assert_eq!(Gender::parse("Woman"), Err(DropReason::NotAGender));
        assert_eq!(Gender::parse("unknown"), Err(DropReason::Placeholder));
        assert_eq!(Gender::parse(""), Err(DropReason::Empty));
    }
}
