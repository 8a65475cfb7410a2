//! Reads lines of a number, a tab and a country, and writes what becomes of each: the E.164
//! form, or why it is dropped. `scripts/phones.sh` compares that with libphonenumber.

use std::io::{self, BufRead, BufWriter, Write};

use capi_core::identity::phone::Phone;

fn main() -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let line = line?;
        let (value, country) = line.rsplit_once('\t').unwrap_or((&line, ""));
        let country = Some(country).filter(|country| !country.is_empty());
        match Phone::parse(value, country) {
            Ok(phone) => writeln!(out, "{}", phone.e164())?,
            Err(reason) => writeln!(out, "-{reason}")?,
        }
    }
    out.flush()
}
