//! Looking for what must not be there: planted values in relations, logs and bytes.

use crate::database::{Session, quoted};

/// A customer whose every value occurs nowhere else.
#[derive(Debug, Clone)]
pub struct Person {
    /// Email address as typed.
    pub email: String,
    /// Phone number as typed.
    pub phone: String,
    /// Given name as typed.
    pub first_name: String,
    /// Family name as typed.
    pub last_name: String,
}

impl Person {
    /// Makes one; `letters` (lower case) and `digits` (four) are what makes the person unique.
    pub fn new(letters: &str, digits: &str) -> Self {
        Self {
            email: format!("  Qx{letters}.Vorwerk@Example.com "),
            phone: format!("+49 (0)30 / 2312-{digits}"),
            first_name: format!("Zq{letters}"),
            last_name: format!("Wy{letters}son"),
        }
    }

    /// Adds the person to the shop's customers, with consent; returns the id.
    pub async fn sign_up(&self, session: &Session) -> i64 {
        session
            .count(&format!(
                "insert into shop.customers (email, phone, first_name, last_name, city, zip,
                    country, marketing_consent)
                values ({}, {}, {}, {}, 'Berlin', '10115', 'DE', true) returning id",
                quoted(&self.email),
                quoted(&self.phone),
                quoted(&self.first_name),
                quoted(&self.last_name)
            ))
            .await
    }

    /// The values as typed and as a normaliser would leave them. Searching ignores case.
    pub fn traces(&self) -> Vec<String> {
        let digits: String = self.phone.chars().filter(char::is_ascii_digit).collect();
        let international = digits.replacen("490", "49", 1);
        let mut traces = vec![
            self.email.trim().to_lowercase(),
            self.email.trim().split('@').next().unwrap_or_default().to_lowercase(),
            self.phone.to_lowercase(),
            // Without country and trunk prefix: part of every way to write it.
            international.trim_start_matches("49").to_owned(),
            self.first_name.to_lowercase(),
            self.last_name.to_lowercase(),
        ];
        traces.push(digits);
        traces.push(international);
        traces
    }
}

/// Which of the traces a text holds, whatever the case.
pub fn found_in(text: &[u8], traces: &[String]) -> Vec<String> {
    let text = text.to_ascii_lowercase();
    let holds = |trace: &&String| {
        let trace = trace.as_bytes();
        let first = trace[0];
        text.windows(trace.len()).any(|window| window[0] == first && window == trace)
    };
    traces.iter().filter(holds).cloned().collect()
}

/// Relations of the schema `capi`, views among them, with a row that holds one of the traces.
pub async fn relations_with(session: &Session, traces: &[String]) -> Vec<String> {
    let relations = session
        .column(
            "select oid::regclass from pg_class
            where relnamespace = 'capi'::regnamespace and relkind in ('r', 'p', 'v', 'm')
            order by 1",
        )
        .await;
    assert!(relations.len() > 10, "the schema capi is set up: {relations:?}");
    let mut found = Vec::new();
    for relation in relations {
        for trace in traces {
            let sql = format!(
                "select count(*) from {relation} r where strpos(lower(r::text), {}) > 0",
                quoted(trace)
            );
            if session.count(&sql).await > 0 {
                found.push(format!("{relation}: {trace}"));
            }
        }
    }
    found
}
