//! Owns the memory of what arrived: requests, accepted events, duplicates and exact sums.
//!
//! Everything that grows is bounded; the totals are kept for good. No token is ever stored.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use axum::body::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::accepted_event::{AcceptedEvent, Sameness};
use super::decimal::Decimal;
use super::fault::Kind;
use super::platform::Platform;
use super::refusal::Refusal;

/// How much is remembered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Accepted events.
    pub(super) events: usize,
    /// Event ids, for finding duplicates.
    pub(super) ids: usize,
    /// Requests.
    pub(super) requests: usize,
    /// Bytes of all kept request bodies.
    pub(super) body_bytes: usize,
}

/// An accepted event, as it arrived.
#[derive(Debug, Serialize)]
pub(super) struct Received {
    /// Running number since the last reset, from 0.
    seq: u64,
    /// Microseconds since 1970, when the body was complete.
    received_at: i64,
    request: u64,
    platform: Platform,
    pixel: Box<str>,
    duplicate: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    test_event_code: Option<Box<str>>,
    #[serde(skip)]
    id: Option<Box<str>>,
    event: Box<RawValue>,
}

/// Why a request, or one of its events, was not taken.
#[derive(Debug, Clone, Default)]
pub(super) struct Refused {
    /// The platform's code: a number, or the name of a status.
    pub(super) code: Value,
    pub(super) subcode: Option<i32>,
    pub(super) at: Option<usize>,
    pub(super) field: Option<String>,
    /// The name of the rule in `docs/contributing/standin.md`, or for Meta its text.
    pub(super) rule: Option<String>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let Refusal { code, subcode, at, field, rule, .. } = refusal;
        Self { code: code.into(), subcode, at, field, rule }
    }
}

/// One request and what became of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Exchange {
    pub(super) request: u64,
    pub(super) platform: Platform,
    pub(super) received_at: i64,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) pixel: String,
    /// Where the token came from: header, query or body.
    pub(super) token_in: Option<&'static str>,
    pub(super) headers: BTreeMap<String, String>,
    /// Without the token; none when it was not read or is no JSON.
    pub(super) body: Option<Bytes>,
    pub(super) body_bytes: usize,
    pub(super) events: usize,
    pub(super) accepted: bool,
    /// None when nothing was answered.
    pub(super) status: Option<u16>,
    pub(super) answer: Option<Value>,
    pub(super) fault: Option<Kind>,
    pub(super) refusal: Option<Refused>,
    /// Events that the platform dropped without a word.
    pub(super) vanished: usize,
    /// Events refused one by one, beside others that were taken.
    pub(super) refused_events: usize,
}

impl Exchange {
    fn shown(&self) -> Value {
        let body = self.body.as_deref();
        let body = body.and_then(|body| serde_json::from_slice::<Value>(body).ok());
        let refused = self.refusal.as_ref().map(|refusal| {
            json!({
                "code": refusal.code,
                "subcode": refusal.subcode,
                "event": refusal.at,
                "field": refusal.field,
                "rule": refusal.rule,
            })
        });
        json!({
            "request": self.request,
            "platform": self.platform,
            "account": self.pixel,
            "vanished": self.vanished,
            "refused_events": self.refused_events,
            "received_at": self.received_at,
            "method": self.method,
            "path": self.path,
            "token_in": self.token_in,
            "headers": self.headers,
            "body": body,
            "body_bytes": self.body_bytes,
            "events": self.events,
            "accepted": self.accepted,
            "status": self.status,
            "answer": self.answer,
            "fault": self.fault,
            "refused": refused,
        })
    }
}

#[derive(Debug, Default, Clone)]
struct Totals {
    requests: u64,
    answered: u64,
    refused_requests: u64,
    refused_by_code: BTreeMap<String, u64>,
    statuses: BTreeMap<u16, u64>,
    faults: BTreeMap<String, u64>,
    accepted: Tally,
    platforms: BTreeMap<Platform, Book>,
    pixels: BTreeMap<String, Tally>,
    event_names: BTreeMap<String, Tally>,
    values: BTreeMap<String, Decimal>,
    ids_forgotten: u64,
    largest_request: usize,
    first_received_at: Option<i64>,
    last_received_at: Option<i64>,
}

/// What one platform took, for comparing it with the shop's books.
#[derive(Debug, Default, Clone)]
struct Book {
    requests: u64,
    refused_requests: u64,
    refused_events: usize,
    vanished: usize,
    accepted: Tally,
    accounts: BTreeMap<String, Tally>,
    values: BTreeMap<String, Decimal>,
}

impl Book {
    fn shown(&self) -> Value {
        let accounts: BTreeMap<&str, Value> =
            self.accounts.iter().map(|(name, tally)| (name.as_str(), tally.shown())).collect();
        json!({
            "requests": self.requests,
            "refused_requests": self.refused_requests,
            "refused_events": self.refused_events,
            "vanished": self.vanished,
            "events_accepted": self.accepted.events,
            "unique_events": self.accepted.events - self.accepted.duplicates,
            "duplicates": self.accepted.duplicates,
            "values": shown_values(&self.values),
            "accounts": accounts,
        })
    }
}

fn shown_values(values: &BTreeMap<String, Decimal>) -> BTreeMap<&str, String> {
    values.iter().map(|(code, sum)| (code.as_str(), sum.to_string())).collect()
}

#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    events: u64,
    duplicates: u64,
}

impl Tally {
    fn count(&mut self, duplicate: bool) {
        self.events += 1;
        self.duplicates += u64::from(duplicate);
    }

    fn shown(&self) -> Value {
        json!({
            "accepted": self.events,
            "unique": self.events - self.duplicates,
            "duplicates": self.duplicates,
        })
    }
}

/// What arrived since the last reset.
#[derive(Debug)]
pub(super) struct Log {
    bounds: Bounds,
    next_request: u64,
    events: VecDeque<Received>,
    next_seq: u64,
    exchanges: VecDeque<Exchange>,
    body_bytes: usize,
    first_seen: HashMap<u128, i64>,
    seen_in_order: VecDeque<(u128, i64, i64)>,
    totals: Totals,
}

impl Log {
    /// An empty log.
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            next_request: 1,
            events: VecDeque::new(),
            next_seq: 0,
            exchanges: VecDeque::new(),
            body_bytes: 0,
            first_seen: HashMap::new(),
            seen_in_order: VecDeque::new(),
            totals: Totals::default(),
        }
    }

    /// Numbers a request.
    pub(super) fn open(&mut self) -> u64 {
        self.totals.requests += 1;
        self.next_request += 1;
        self.next_request - 1
    }

    /// Takes in the events of an accepted request.
    pub(super) fn accept(
        &mut self,
        exchange: &Exchange,
        accepted: Vec<AcceptedEvent>,
        test_event_code: Option<&str>,
    ) {
        let received_at = exchange.received_at;
        self.totals.first_received_at.get_or_insert(received_at);
        self.totals.last_received_at = Some(received_at);
        self.totals.largest_request = self.totals.largest_request.max(accepted.len());
        let mut pixel = Tally::default();
        let mut book = self.totals.platforms.remove(&exchange.platform).unwrap_or_default();
        for event in accepted {
            let duplicate = event.sameness.as_ref().is_some_and(|sameness| {
                self.is_repeated(exchange.platform, &exchange.pixel, sameness, received_at)
            });
            pixel.count(duplicate);
            if let Some(tally) = self.totals.event_names.get_mut(&event.name) {
                tally.count(duplicate);
            } else {
                let mut tally = Tally::default();
                tally.count(duplicate);
                self.totals.event_names.insert(event.name, tally);
            }
            if let Some((currency, value)) = event.money
                && !duplicate
            {
                for values in [&mut self.totals.values, &mut book.values] {
                    let sum = values.entry(currency.clone()).or_default();
                    *sum = sum.add(&value);
                }
            }
            self.events.push_back(Received {
                seq: self.next_seq,
                received_at,
                request: exchange.request,
                platform: exchange.platform,
                pixel: exchange.pixel.as_str().into(),
                duplicate,
                test_event_code: test_event_code.map(Into::into),
                id: event.id.map(Into::into),
                event: event.raw,
            });
            self.next_seq += 1;
            if self.events.len() > self.bounds.events {
                self.events.pop_front();
            }
        }
        let known = self.totals.pixels.entry(exchange.pixel.clone()).or_default();
        let account = book.accounts.entry(exchange.pixel.clone()).or_default();
        for tally in [known, account, &mut book.accepted, &mut self.totals.accepted] {
            tally.events += pixel.events;
            tally.duplicates += pixel.duplicates;
        }
        self.totals.platforms.insert(exchange.platform, book);
    }

    /// Files a finished request.
    pub(super) fn close(&mut self, exchange: Exchange) {
        if let Some(status) = exchange.status {
            self.totals.answered += 1;
            *self.totals.statuses.entry(status).or_default() += 1;
        }
        let book = self.totals.platforms.entry(exchange.platform).or_default();
        book.requests += 1;
        book.refused_requests += u64::from(exchange.refusal.is_some());
        book.vanished += exchange.vanished;
        book.refused_events += exchange.refused_events;
        if let Some(refusal) = &exchange.refusal {
            self.totals.refused_requests += 1;
            let code =
                refusal.code.as_str().map_or_else(|| refusal.code.to_string(), str::to_owned);
            let code = match refusal.subcode {
                Some(subcode) => format!("{code}/{subcode}"),
                None => code,
            };
            *self.totals.refused_by_code.entry(code).or_default() += 1;
        }
        if let Some(kind) = exchange.fault {
            let kind = serde_json::to_value(kind).unwrap_or_default();
            let name = kind.as_str().unwrap_or_default().to_owned();
            *self.totals.faults.entry(name).or_default() += 1;
        }
        self.body_bytes += exchange.body.as_ref().map_or(0, Bytes::len);
        self.exchanges.push_back(exchange);
        while self.exchanges.len() > self.bounds.requests
            || self.body_bytes > self.bounds.body_bytes
        {
            let Some(oldest) = self.exchanges.pop_front() else { break };
            self.body_bytes -= oldest.body.as_ref().map_or(0, Bytes::len);
        }
    }

    /// The totals since the last reset.
    pub(super) fn summary(&self) -> Value {
        let totals = &self.totals;
        let tallies = |of: &BTreeMap<String, Tally>| -> BTreeMap<String, Value> {
            of.iter().map(|(name, tally)| (name.clone(), tally.shown())).collect()
        };
        let platforms: BTreeMap<&str, Value> = totals
            .platforms
            .iter()
            .map(|(platform, book)| (platform.name(), book.shown()))
            .collect();
        json!({
            "requests": totals.requests,
            "answered_requests": totals.answered,
            // Cut, swallowed, given up by the client, or still under way.
            "unanswered_requests": totals.requests - totals.answered,
            "refused_requests": totals.refused_requests,
            "refused_by_code": totals.refused_by_code,
            "statuses": totals.statuses,
            "faults": totals.faults,
            "events_accepted": totals.accepted.events,
            "unique_events": totals.accepted.events - totals.accepted.duplicates,
            "duplicates": totals.accepted.duplicates,
            "values": shown_values(&totals.values),
            "platforms": platforms,
            "event_names": tallies(&totals.event_names),
            "pixels": tallies(&totals.pixels),
            "largest_request": totals.largest_request,
            "first_received_at": totals.first_received_at,
            "last_received_at": totals.last_received_at,
            "events_kept": self.events.len(),
            // Not 0: duplicates may have been missed.
            "ids_forgotten": totals.ids_forgotten,
        })
    }

    /// Accepted events from number `offset` on, all or those with one event id.
    pub(super) fn events(
        &self,
        offset: u64,
        limit: usize,
        event_id: Option<&str>,
        platform: Option<Platform>,
    ) -> Value {
        let first = self.events.front().map_or(self.next_seq, |event| event.seq);
        let skip = usize::try_from(offset.saturating_sub(first)).unwrap_or(usize::MAX);
        let found: Vec<&Received> = self
            .events
            .iter()
            .skip(skip)
            .filter(|event| event_id.is_none_or(|id| event.id.as_deref() == Some(id)))
            .filter(|event| platform.is_none_or(|only| event.platform == only))
            .take(limit)
            .collect();
        json!({ "total": self.next_seq, "first_kept": first, "events": found })
    }

    /// The latest requests, newest first.
    pub(super) fn exchanges(&self, limit: usize) -> Value {
        let latest: Vec<Value> =
            self.exchanges.iter().rev().take(limit).map(Exchange::shown).collect();
        json!({ "total": self.totals.requests, "requests": latest })
    }

    /// Whether the same event came within the window; else this one opens a window.
    fn is_repeated(
        &mut self,
        platform: Platform,
        account: &str,
        sameness: &Sameness,
        now: i64,
    ) -> bool {
        if self.is_known(platform, account, sameness, now) {
            return true;
        }
        let key = fingerprint(&[platform.name(), account, &sameness.key]);
        self.first_seen.insert(key, now);
        self.seen_in_order.push_back((key, now, sameness.window_us));
        while self.seen_in_order.len() > self.bounds.ids {
            let Some((oldest, first, window)) = self.seen_in_order.pop_front() else { break };
            // Seen again after its window: the entry belongs to the later sight.
            if self.first_seen.get(&oldest) == Some(&first) {
                self.first_seen.remove(&oldest);
                self.totals.ids_forgotten += u64::from(now - first <= window);
            }
        }
        false
    }
}

impl Log {
    /// Whether the same event was accepted within the window.
    pub(super) fn is_known(
        &self,
        platform: Platform,
        account: &str,
        sameness: &Sameness,
        now: i64,
    ) -> bool {
        let key = fingerprint(&[platform.name(), account, &sameness.key]);
        self.first_seen.get(&key).is_some_and(|first| now - first <= sameness.window_us)
    }
}

/// 128 bits instead of the text: millions of ids fit into little memory.
fn fingerprint(parts: &[&str]) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, parts).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::{Bounds, Exchange, Log};
    use crate::accepted_event::{AcceptedEvent, Sameness, TWO_DAYS_US};
    use crate::decimal::Decimal;

    const HOUR_US: i64 = 3600 * 1_000_000;

    fn log(events: usize, ids: usize) -> Log {
        Log::new(Bounds { events, ids, requests: 2, body_bytes: 10 })
    }

    fn accepted_event(id: &str) -> AcceptedEvent {
        AcceptedEvent {
            raw: RawValue::from_string("{}".to_owned()).expect("JSON"),
            name: "Purchase".to_owned(),
            id: Some(id.to_owned()),
            money: Decimal::parse("10.10").map(|value| ("EUR".to_owned(), value)),
            page: None,
            sameness: Some(Sameness::of(&["Purchase", id], TWO_DAYS_US)),
        }
    }

    fn exchange(received_at: i64) -> Exchange {
        Exchange { received_at, pixel: "1".to_owned(), status: Some(200), ..Exchange::default() }
    }

    #[test]
    fn a_copy_counts_once_within_48_hours_of_the_first() {
        let mut log = log(10, 10);
        for hours in [0, 47, 48, 49, 96] {
            log.accept(&exchange(hours * HOUR_US), vec![accepted_event("a")], None);
        }
        let summary = log.summary();
        // 49 opens a new window, in which 96 falls.
        assert_eq!(summary["duplicates"], 3);
        assert_eq!(summary["unique_events"], 2);
        assert_eq!(summary["values"]["EUR"], "20.20");
    }

    #[test]
    fn pixels_do_not_share_ids() {
        let mut log = log(10, 10);
        log.accept(&exchange(0), vec![accepted_event("a")], None);
        let other = Exchange { pixel: "2".to_owned(), ..exchange(0) };
        log.accept(&other, vec![accepted_event("a")], None);
        assert_eq!(log.summary()["duplicates"], 0);
        assert_eq!(log.summary()["pixels"]["2"]["unique"], 1);
    }

    #[test]
    fn memory_is_bounded_and_totals_are_not() {
        let mut log = log(3, 2);
        for number in 0..10 {
            log.open();
            log.accept(&exchange(number), vec![accepted_event(&number.to_string())], None);
            let body = Some("123456".into());
            log.close(Exchange { body, ..exchange(number) });
        }
        let summary = log.summary();
        assert_eq!(summary["events_accepted"], 10);
        assert_eq!(summary["events_kept"], 3);
        assert_eq!(summary["ids_forgotten"], 8);
        assert_eq!(log.first_seen.len(), 2);
        assert_eq!(log.exchanges.len(), 1, "two bodies are over ten bytes");
        let page = log.events(0, 10, None, None);
        assert_eq!(page["first_kept"], 7);
        assert_eq!(page["events"][0]["seq"], 7);
        assert_eq!(log.events(9, 10, None, None)["events"].as_array().map(Vec::len), Some(1));
        assert_eq!(log.events(0, 10, Some("8"), None)["events"][0]["seq"], 8);
    }
}
