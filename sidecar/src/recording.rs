//! From the answer to one request to the arguments of `capi.record`. Pure.
//!
//! Each event of the batch is accounted for exactly once: settled by a receipt, or sent again. And each
//! that was in a request whose answer does not prove what became of it is named as doubtful.

use std::time::Duration;

use capi_core::destination::{Decision, Outcome, Reason, Ticket, Unfit, Verdict};
use serde_json::{Value, json};

use crate::http::SendError;
use crate::retry::{self, Health};

/// How long a platform may say that it has not decided. Those that decide later do so within
/// minutes, some within hours.
const UNDECIDED_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a platform may not know the ticket that it has just given: its servers tell each other.
const TICKET_SETTLES: Duration = Duration::from_secs(10 * 60);

/// How long a question may be refused for the credential's sake: the next one gets the answer, unless
/// the platform does not answer such questions at all.
const UNANSWERED_AFTER: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Attempts that end in words that nobody here knows, after which the destination stops: some minutes.
const UNCLEAR_TRIES: u32 = 10;

/// What is known of events that a platform has accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// What to ask with.
    pub ticket: Ticket,
    /// Earlier questions.
    pub polls: u32,
    /// How long ago they were accepted.
    pub age: Duration,
}

/// How an event ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The platform took it.
    Delivered,
    /// The platform refused it, or would.
    Refused,
    /// Too old for the platform.
    Expired,
    /// The platform has no such event.
    Unrouted,
    /// It was accepted or may have arrived, and nobody will say what became of it.
    Undecided,
}

impl Status {
    /// The word in `capi.receipt`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Unrouted => "unrouted",
            Self::Undecided => "undecided",
        }
    }
}

/// The final outcome of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The outbox id.
    pub event: i64,
    /// How it ends.
    pub status: Status,
    /// Why, unless it was delivered.
    pub reason: Option<Reason>,
}

impl Receipt {
    /// An event that is not sent at all.
    pub fn unfit(event: i64, unfit: Unfit) -> Self {
        let (status, reason) = match unfit {
            Unfit::Unrouted(reason) => (Status::Unrouted, reason),
            Unfit::Refused(reason) => (Status::Refused, reason),
        };
        Self { event, status, reason: Some(reason) }
    }

    /// An event that grew too old.
    pub fn expired(event: i64) -> Self {
        Self { event, status: Status::Expired, reason: Some(Reason::new("too_old")) }
    }

    /// An event with a column that this program cannot read.
    pub fn unreadable(event: i64, column: &str) -> Self {
        Self::refused(event, Reason(format!("unreadable_{column}")))
    }

    /// An event that may have arrived and must not go again, as it would count twice.
    fn perhaps_delivered(event: i64) -> Self {
        Self { event, status: Status::Undecided, reason: Some(Reason::new("perhaps_delivered")) }
    }

    fn refused(event: i64, reason: Reason) -> Self {
        Self { event, status: Status::Refused, reason: Some(reason) }
    }
}

/// What becomes of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Every event has its own outcome.
    Each,
    /// The platform decides later.
    Accepted,
    /// The rest goes again; costs an attempt.
    Retry,
    /// The rest goes again; costs no attempt.
    Wait,
    /// The rest goes again in halves.
    Split,
    /// The destination stops.
    Blocked,
}

impl Step {
    /// The word that `capi.record` takes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Each => "each",
            Self::Accepted => "accepted",
            Self::Retry => "retry",
            Self::Wait => "wait",
            Self::Split => "split",
            Self::Blocked => "blocked",
        }
    }
}

/// The arguments of `capi.record`, but for those that name the attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// HTTP status, if there was an answer.
    pub http_status: Option<i32>,
    /// The platform's id of the request.
    pub request_id: Option<String>,
    /// Why the batch as a whole was not delivered.
    pub reason: Option<Reason>,
    /// The answer reduced to codes and counts.
    pub answer: Value,
    /// What becomes of the batch.
    pub step: Step,
    /// Events that end here.
    pub settled: Vec<Receipt>,
    /// Events that the platform has accepted, in the order of their request.
    pub accepted: Vec<i64>,
    /// What to ask for them with.
    pub ticket: Option<Ticket>,
    /// Events that go again.
    pub again: Vec<i64>,
    /// Those of the request, not delivered, that may have arrived all the same.
    pub doubtful: Vec<i64>,
    /// When the accepted ones are asked for, or the others go again.
    pub due_in: Duration,
    /// What the request told about the destination.
    pub health: Health,
}

impl Recording {
    /// Ends events that must not go again; what is left decides what becomes of the batch.
    fn settle(&mut self, lost: Vec<i64>) {
        if lost.is_empty() {
            return;
        }
        self.settled.extend(lost.into_iter().map(Receipt::perhaps_delivered));
        // Halves of one event, or a wait for none, are none.
        let is_over = match self.step {
            Step::Split => self.again.len() < 2,
            Step::Retry | Step::Wait => self.again.is_empty(),
            Step::Each | Step::Accepted | Step::Blocked => false,
        };
        if is_over {
            self.step = Step::Each;
        }
    }
}

/// What an answer says of an event that it does not call delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// It is refused for good.
    Refused,
    /// It only shared the request with one that is.
    Again,
    /// The request, or this event, is to come again.
    Retry,
    /// There are too many requests.
    Wait,
    /// Some event of the request is wrong.
    Split,
    /// Account, credential or address are wrong.
    Blocked,
}

/// Whether an event may have arrived although the answer does not say so. The one place where that is
/// decided; an error before there is an answer has [`SendError::certainty`].
///
/// Of whoever may have read a request nothing but his own word is believed. That is:
///
/// - with a success, the word of one event that it is refused;
/// - with a 4xx, the documented refusals of a request before any event is looked at: account and
///   credential (401, 403, or 400 with a code of the platform's), too many requests (429), and a fault in
///   the request, by which the platforms take all of it or nothing (400, 413, 422). Not those of a
///   server that has read the request and then gave up (408, 409, 499), and not one that asks for the
///   same again: Meta's codes 1, 2 and -1 come with 400, and after the events were stored.
///
/// Everything else, among it every 5xx, is doubt.
fn may_have_arrived(status: u16, word: Word) -> bool {
    let is_certain = match status {
        200..300 => word == Word::Refused,
        408 | 409 | 499 => false,
        400..500 => word != Word::Retry,
        _ => false,
    };
    !is_certain
}

/// Whether HTTP itself says that the request was not handled. Not proof enough to be in no doubt, yet
/// enough to send again what a second copy of would count: it would be lost for sure otherwise.
fn is_unhandled(status: u16) -> bool {
    matches!(status, 401..500 | 503) && !matches!(status, 408 | 409 | 499)
}

/// The events of a request, which are `sent`, that may have arrived by the answer of this status.
fn doubtful(sent: &[i64], status: u16, decision: &Decision) -> Vec<i64> {
    let all = |word| match may_have_arrived(status, word) {
        true => sent.to_vec(),
        false => Vec::new(),
    };
    match decision {
        Decision::Each(outcomes) if outcomes.len() == sent.len() => sent
            .iter()
            .zip(outcomes)
            .filter(|(_, outcome)| match outcome {
                Outcome::Delivered => false,
                Outcome::Refused(_) => may_have_arrived(status, Word::Refused),
                Outcome::Retry(_) => may_have_arrived(status, Word::Retry),
                Outcome::Again => may_have_arrived(status, Word::Again),
            })
            .map(|(event, _)| *event)
            .collect(),
        Decision::Accepted { .. } => Vec::new(),
        // One that lost count, or says what nobody knows, is asked again.
        Decision::Each(_) | Decision::Retry { .. } | Decision::Unclear { .. } => all(Word::Retry),
        Decision::Wait { .. } => all(Word::Wait),
        Decision::Split { .. } => all(Word::Split),
        Decision::Blocked { .. } => all(Word::Blocked),
    }
}

/// One batch on its way, by outbox ids. Together the three lists are the batch.
#[derive(Clone, Debug, Default)]
pub struct BatchResult {
    /// Events that ended before the request: unfit or expired.
    pub settled: Vec<Receipt>,
    /// Events of the request, in its order.
    pub sent: Vec<i64>,
    /// Events that wait for another request.
    pub unsent: Vec<i64>,
    /// Earlier attempts that count.
    pub tries: u32,
}

impl BatchResult {
    /// The recording of a batch that needed no request.
    pub fn without_request(self) -> Recording {
        self.recording(Step::Each, None, Duration::ZERO, Health::Unasked)
    }

    /// The recording of an answer. Of the events that a second copy of would count, `doubled`, those that may
    /// have arrived do not go again.
    ///
    /// `draw` is uniform in 0 to 1 and spreads the next attempts.
    pub fn answered(self, status: u16, verdict: Verdict, doubled: &[i64], draw: f64) -> Recording {
        let Verdict { decision, hold, request_id, summary } = verdict;
        let doubtful = doubtful(&self.sent, status, &decision);
        let mut recording = self.decided(decision, draw);
        if !is_unhandled(status) {
            let given_up = |event: &i64| doubled.contains(event) && doubtful.contains(event);
            let (lost, again) = recording.again.into_iter().partition(given_up);
            recording.again = again;
            recording.settle(lost);
        }
        let mut answer = summary;
        if !doubtful.is_empty()
            && let Value::Object(answer) = &mut answer
        {
            answer.insert("sent".into(), "unknown".into());
        }
        Recording {
            http_status: Some(status.into()),
            request_id,
            answer,
            doubtful,
            health: hold.map_or(recording.health, Health::Hold),
            ..recording
        }
    }

    /// Gives up events that may have arrived and that the platform would count a second time.
    pub fn give_up(&mut self, doubled: &[i64]) {
        self.sent.retain(|event| !doubled.contains(event));
        self.settled.extend(doubled.iter().copied().map(Receipt::perhaps_delivered));
    }

    /// The recording of a request that brought no answer.
    pub fn unanswered(self, error: SendError, draw: f64) -> Recording {
        let reason = Some(Reason::new(error.reason()));
        let doubtful = match error.certainty() {
            "unknown" => self.sent.clone(),
            _ => Vec::new(),
        };
        let recording = match error {
            // Settings or credential are at fault, and no repetition mends them.
            SendError::Build
            | SendError::InClear
            | SendError::NotAllowed
            | SendError::Credential
            | SendError::TokenRefused => {
                self.recording(Step::Blocked, reason, Duration::ZERO, Health::Bad)
            }
            // Nothing is left to be sent again.
            _ if self.sent.is_empty() && self.unsent.is_empty() => {
                self.recording(Step::Each, reason, Duration::ZERO, Health::Bad)
            }
            SendError::Connect
            | SendError::TokenUnavailable
            | SendError::Timeout
            | SendError::Broken
            | SendError::Repeated => {
                let due_in = retry::backoff(self.tries, None, draw);
                self.recording(Step::Retry, reason, due_in, Health::Bad)
            }
        };
        Recording { answer: json!({"sent": error.certainty()}), doubtful, ..recording }
    }

    /// The recording of an answer to the question what became of accepted events, in the order of
    /// their request. Nothing is sent again unless the platform says so.
    pub fn asked(self, accepted: &Accepted, status: u16, verdict: Verdict, draw: f64) -> Recording {
        let Verdict { decision, hold, request_id, summary } = verdict;
        let pause = |after| retry::poll(accepted.polls.saturating_add(1), after, draw);
        let forgotten = matches!(status, 404 | 410) && accepted.age >= TICKET_SETTLES;
        let overdue = accepted.age >= UNDECIDED_AFTER;
        let sent = self.sent.clone();
        // The account is at fault, and not the question.
        let about_account = matches!(status, 401 | 403);
        // The question was answered: the events failed for the account's sake. To ask again would bring
        // the same answer, so they go again once the destination is resumed.
        let failed_by_account =
            (200..300).contains(&status) && matches!(decision, Decision::Blocked { .. });
        let recording = match decision {
            decided if failed_by_account => self.decided(decided, draw),
            Decision::Retry { .. }
            | Decision::Split { .. }
            | Decision::Unclear { .. }
            | Decision::Blocked { .. }
                if forgotten =>
            {
                self.undecided("ticket_unknown")
            }
            Decision::Retry { .. } | Decision::Accepted { .. } | Decision::Unclear { .. }
                if overdue =>
            {
                self.undecided("no_decision")
            }
            Decision::Blocked { .. } if overdue && !about_account => self.undecided("no_decision"),
            Decision::Each(outcomes) if overdue && outcomes.len() != self.sent.len() => {
                self.undecided("no_decision")
            }
            Decision::Blocked { .. } | Decision::Wait { .. }
                if accepted.age >= UNANSWERED_AFTER =>
            {
                self.undecided("no_decision")
            }
            Decision::Unclear { reason } => {
                self.recording(Step::Retry, Some(reason), pause(Duration::ZERO), Health::Bad)
            }
            // Its servers may not know it yet: no reason to stop.
            Decision::Blocked { reason } if matches!(status, 404 | 410) => {
                self.recording(Step::Retry, Some(reason), pause(Duration::ZERO), Health::Bad)
            }
            Decision::Accepted { ticket, after } => self.accepted(ticket, pause(after), None),
            Decision::Retry { reason, after } => {
                let health = after.map_or(Health::Bad, Health::Hold);
                let due_in = pause(after.unwrap_or_default());
                self.recording(Step::Retry, Some(reason), due_in, health)
            }
            Decision::Each(outcomes) if outcomes.len() != self.sent.len() => {
                let reason = Reason::new("outcomes_miscounted");
                self.recording(Step::Retry, Some(reason), pause(Duration::ZERO), Health::Bad)
            }
            decided => self.decided(decided, draw),
        };
        // What was accepted before and goes again may have been taken.
        let goes_again = matches!(recording.step, Step::Each | Step::Split) || failed_by_account;
        let doubtful: Vec<i64> = match goes_again {
            true => recording.again.iter().copied().filter(|event| sent.contains(event)).collect(),
            false => Vec::new(),
        };
        let mut answer = summary;
        if !doubtful.is_empty()
            && let Value::Object(answer) = &mut answer
        {
            answer.insert("sent".into(), "unknown".into());
        }
        Recording {
            http_status: Some(status.into()),
            request_id,
            answer,
            doubtful,
            health: hold.map_or(recording.health, Health::Hold),
            ..recording
        }
    }

    /// The recording of a question that brought no answer: it is asked again, and nothing is sent.
    pub fn unasked(self, accepted: &Accepted, error: SendError, draw: f64) -> Recording {
        let reason = Some(Reason::new(error.reason()));
        match error {
            SendError::Build
            | SendError::InClear
            | SendError::NotAllowed
            | SendError::Credential
            | SendError::TokenRefused => {
                self.recording(Step::Blocked, reason, Duration::ZERO, Health::Bad)
            }
            SendError::Connect
            | SendError::TokenUnavailable
            | SendError::Timeout
            | SendError::Broken
            | SendError::Repeated => {
                let polls = accepted.polls.saturating_add(1);
                let due_in = retry::poll(polls, Duration::ZERO, draw);
                self.recording(Step::Retry, reason, due_in, Health::Bad)
            }
        }
    }

    /// The recording of a ticket that the platform of this build cannot ask with: settings or program
    /// have changed since. It is kept for a day, for whoever changes them back.
    pub fn unaskable(self, accepted: &Accepted, draw: f64) -> Recording {
        if accepted.age >= UNDECIDED_AFTER {
            return Recording { health: Health::Unasked, ..self.undecided("no_decision") };
        }
        let due_in = retry::poll(accepted.polls.saturating_add(1), Duration::ZERO, draw);
        let reason = Reason::new("ticket_not_supported");
        self.recording(Step::Retry, Some(reason), due_in, Health::Unasked)
    }

    /// The platform decides later on what was sent; what was not goes by itself.
    fn accepted(mut self, ticket: Ticket, due_in: Duration, reason: Option<Reason>) -> Recording {
        let accepted = std::mem::take(&mut self.sent);
        Recording {
            accepted,
            ticket: Some(ticket),
            ..self.recording(Step::Accepted, reason, due_in, Health::Good)
        }
    }

    /// Nobody will ever know.
    fn undecided(mut self, reason: &str) -> Recording {
        let (status, reason) = (Status::Undecided, Reason::new(reason));
        let sent = std::mem::take(&mut self.sent);
        let settled =
            sent.into_iter().map(|event| Receipt { event, status, reason: Some(reason.clone()) });
        self.settled.extend(settled);
        self.recording(Step::Each, Some(reason), Duration::ZERO, Health::Good)
    }

    fn decided(self, decision: Decision, draw: f64) -> Recording {
        let backoff = |after| retry::backoff(self.tries, after, draw);
        match decision {
            Decision::Each(outcomes) if outcomes.len() == self.sent.len() => {
                let first = |wanted: fn(&Outcome) -> Option<&Reason>| {
                    outcomes.iter().find_map(wanted).cloned()
                };
                let asked = first(|outcome| match outcome {
                    Outcome::Retry(reason) => Some(reason),
                    _ => None,
                });
                let refused = first(|outcome| match outcome {
                    Outcome::Refused(reason) => Some(reason),
                    _ => None,
                });
                let due_in = asked.as_ref().map_or(Duration::ZERO, |_| backoff(None));
                let health = if asked.is_some() { Health::Bad } else { Health::Good };
                self.each(outcomes).recording(Step::Each, asked.or(refused), due_in, health)
            }
            // A platform's code that loses count must not settle the wrong events.
            Decision::Each(_) => {
                let due_in = backoff(None);
                let reason = Reason::new("outcomes_miscounted");
                self.recording(Step::Retry, Some(reason), due_in, Health::Bad)
            }
            Decision::Accepted { ticket, after } => {
                self.accepted(ticket, retry::poll(0, after, draw), None)
            }
            Decision::Retry { reason, after } => {
                let due_in = backoff(after);
                let health = after.map_or(Health::Bad, Health::Hold);
                self.recording(Step::Retry, Some(reason), due_in, health)
            }
            Decision::Wait { reason, after } => {
                let due_in = retry::wait(after, draw);
                self.recording(Step::Wait, Some(reason), due_in, Health::Hold(after))
            }
            Decision::Split { reason } if self.sent.len() == 1 => self
                .each(vec![Outcome::Refused(reason.clone())])
                .recording(Step::Each, Some(reason), Duration::ZERO, Health::Good),
            Decision::Split { reason } => {
                self.recording(Step::Split, Some(reason), Duration::ZERO, Health::Good)
            }
            Decision::Unclear { reason } if self.tries < UNCLEAR_TRIES => {
                let due_in = backoff(None);
                self.recording(Step::Retry, Some(reason), due_in, Health::Bad)
            }
            Decision::Blocked { reason } | Decision::Unclear { reason } => {
                self.recording(Step::Blocked, Some(reason), Duration::ZERO, Health::Bad)
            }
        }
    }

    /// Settles what was sent by its outcomes; what goes again joins the unsent.
    fn each(mut self, outcomes: Vec<Outcome>) -> Self {
        let mut again = Vec::new();
        for (event, outcome) in std::mem::take(&mut self.sent).into_iter().zip(outcomes) {
            match outcome {
                Outcome::Delivered => {
                    let status = Status::Delivered;
                    self.settled.push(Receipt { event, status, reason: None });
                }
                Outcome::Refused(reason) => self.settled.push(Receipt::refused(event, reason)),
                Outcome::Retry(_) | Outcome::Again => again.push(event),
            }
        }
        again.append(&mut self.unsent);
        self.unsent = again;
        self
    }

    fn recording(
        self,
        step: Step,
        reason: Option<Reason>,
        due_in: Duration,
        health: Health,
    ) -> Recording {
        let mut again = self.sent;
        again.extend(self.unsent);
        Recording {
            http_status: None,
            request_id: None,
            reason,
            answer: json!({}),
            step,
            settled: self.settled,
            accepted: Vec::new(),
            ticket: None,
            again,
            doubtful: Vec::new(),
            due_in,
            health,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use capi_core::destination::Ticket;
    use proptest::prelude::*;

    fn verdict(decision: Decision) -> Verdict {
        Verdict { decision, hold: None, request_id: Some("A1".into()), summary: json!({"code": 1}) }
    }

    fn reason() -> Reason {
        Reason::new("100/2804003")
    }

    fn flight(sent: &[i64]) -> BatchResult {
        BatchResult { sent: sent.to_vec(), ..BatchResult::default() }
    }

    #[test]
    fn delivered_events_are_settled() {
        let decision = Decision::Each(vec![Outcome::Delivered, Outcome::Delivered]);
        let recording = flight(&[4, 5]).answered(200, verdict(decision), &[], 0.5);
        assert_eq!(recording.step, Step::Each);
        assert_eq!(recording.http_status, Some(200));
        assert_eq!(recording.request_id.as_deref(), Some("A1"));
        assert_eq!(recording.health, Health::Good);
        assert!(recording.settled.iter().all(|s| s.status == Status::Delivered));
        assert!(recording.again.is_empty());
    }

    #[test]
    fn events_that_shared_a_request_with_a_refused_one_go_at_once() {
        let outcomes = vec![Outcome::Again, Outcome::Refused(reason()), Outcome::Again];
        let recording =
            flight(&[1, 2, 3]).answered(400, verdict(Decision::Each(outcomes)), &[], 1.0);
        assert_eq!(recording.again, [1, 3]);
        assert_eq!(recording.due_in, Duration::ZERO);
        assert_eq!(recording.settled, [Receipt::refused(2, reason())]);
    }

    #[test]
    fn events_that_the_platform_wants_again_wait() {
        let outcomes = vec![Outcome::Delivered, Outcome::Retry(reason())];
        let recording = flight(&[1, 2]).answered(200, verdict(Decision::Each(outcomes)), &[], 1.0);
        assert_eq!(recording.again, [2]);
        assert_eq!(recording.due_in, Duration::from_secs(1));
        assert_eq!(recording.reason, Some(reason()));
    }

    #[test]
    fn a_lone_event_that_would_be_split_is_refused() {
        let decision = Decision::Split { reason: reason() };
        let mut lone = flight(&[1]);
        lone.unsent = vec![2];
        let recording = lone.answered(400, verdict(decision.clone()), &[], 0.0);
        assert_eq!(recording.step, Step::Each);
        assert_eq!(recording.settled, [Receipt::refused(1, reason())]);
        assert_eq!(recording.again, [2]);
        let recording = flight(&[1, 2]).answered(400, verdict(decision), &[], 0.0);
        assert_eq!(recording.step, Step::Split);
        assert_eq!(recording.again, [1, 2]);
    }

    #[test]
    fn a_throttled_batch_holds_the_destination() {
        let after = Duration::from_secs(420);
        let decision = Decision::Wait { reason: reason(), after };
        let recording = flight(&[1]).answered(400, verdict(decision), &[], 0.0);
        assert_eq!((recording.step, recording.due_in), (Step::Wait, after));
        assert_eq!(recording.health, Health::Hold(after));
    }

    #[test]
    fn a_full_budget_holds_the_destination_though_all_was_delivered() {
        let mut verdict = verdict(Decision::Each(vec![Outcome::Delivered]));
        verdict.hold = Some(Duration::from_secs(60));
        let recording = flight(&[1]).answered(200, verdict, &[], 0.0);
        assert_eq!(recording.health, Health::Hold(Duration::from_secs(60)));
    }

    #[test]
    fn no_answer_is_a_retry_that_says_whether_it_was_sent() {
        for (error, sent) in [(SendError::Connect, "no"), (SendError::Timeout, "unknown")] {
            let recording = flight(&[1]).unanswered(error, 1.0);
            assert_eq!(recording.step, Step::Retry);
            assert_eq!(recording.answer, json!({"sent": sent}));
            assert_eq!(recording.http_status, None);
        }
    }

    fn processing() -> Decision {
        Decision::Accepted { ticket: Ticket("t-2".into()), after: Duration::from_secs(60) }
    }

    fn accepted(polls: u32, hours: u64) -> Accepted {
        let age = Duration::from_secs(hours * 3_600);
        Accepted { ticket: Ticket("t-1".into()), polls, age }
    }

    #[test]
    fn accepted_events_wait_for_the_platforms_word_and_the_others_go() {
        let mut flight = flight(&[7, 3]);
        flight.unsent = vec![9];
        let recording = flight.answered(202, verdict(processing()), &[], 0.0);
        assert_eq!(recording.step, Step::Accepted);
        assert_eq!(recording.accepted, [7, 3], "in the order of the request");
        assert_eq!(recording.again, [9]);
        assert_eq!(recording.ticket, Some(Ticket("t-2".into())));
        assert_eq!(recording.due_in, Duration::from_secs(60));
        assert!(recording.settled.is_empty());
    }

    #[test]
    fn a_decision_settles_by_position() {
        let outcomes =
            vec![Outcome::Refused(reason()), Outcome::Delivered, Outcome::Retry(reason())];
        let decision = Decision::Each(outcomes);
        let recording = flight(&[7, 3, 5]).asked(&accepted(2, 1), 200, verdict(decision), 1.0);
        assert_eq!(recording.step, Step::Each);
        assert_eq!(recording.settled[0], Receipt::refused(7, reason()));
        assert_eq!(
            (recording.settled[1].event, recording.settled[1].status),
            (3, Status::Delivered)
        );
        assert_eq!(recording.again, [5], "the platform wants it again");
    }

    #[test]
    fn a_question_without_a_decision_is_asked_again_ever_later() {
        let pauses: Vec<u64> = [0, 3, 5]
            .map(|polls| {
                let wait = Decision::Accepted { ticket: Ticket("t".into()), after: Duration::ZERO };
                let asked = flight(&[1]).asked(&accepted(polls, 1), 200, verdict(wait), 1.0);
                assert_eq!((asked.step, asked.accepted.as_slice()), (Step::Accepted, &[1][..]));
                asked.due_in.as_secs()
            })
            .into();
        assert_eq!(pauses, [4, 32, 128]);
        use SendError::{Broken, Connect, Timeout, TokenUnavailable};
        for error in [Connect, TokenUnavailable, Timeout, Broken] {
            let unasked = flight(&[1]).unasked(&accepted(0, 90), error, 1.0);
            assert_eq!(
                (unasked.step, unasked.due_in.as_secs()),
                (Step::Retry, 4),
                "no answer settles nothing"
            );
            assert!(unasked.settled.is_empty());
        }
        for error in [SendError::Credential, SendError::TokenRefused] {
            let unasked = flight(&[1]).unasked(&accepted(0, 90), error, 1.0);
            assert_eq!(unasked.step, Step::Blocked, "no repetition mends a credential");
            assert!(unasked.settled.is_empty());
        }
    }

    #[test]
    fn a_lost_ticket_and_a_day_without_decision_are_on_record_as_undecided() {
        let retry = || Decision::Retry { reason: reason(), after: None };
        let undecided = |recording: Recording| {
            recording.settled.iter().all(|s| s.status == Status::Undecided)
                && recording.settled.len() == 2
                && recording.again.is_empty()
        };
        let ask = |hours, status, decision| {
            flight(&[1, 2]).asked(&accepted(9, hours), status, verdict(decision), 0.5)
        };
        let lost = ask(1, 404, retry());
        assert_eq!(lost.reason, Some(Reason::new("ticket_unknown")));
        assert!(undecided(lost));
        assert_eq!(ask(0, 404, retry()).step, Step::Retry, "its servers may not know it yet");
        assert_eq!(ask(23, 500, retry()).step, Step::Retry);
        assert!(undecided(ask(24, 500, retry())));
        assert!(undecided(ask(24, 200, processing())));
        assert!(undecided(flight(&[1, 2]).unaskable(&accepted(9, 24), 0.5)));
        // A question that is refused ends by its age, whatever it is refused for.
        let blocked = || Decision::Blocked { reason: reason() };
        assert_eq!(ask(0, 404, blocked()).step, Step::Retry, "its servers may not know it yet");
        let lost = ask(1, 404, blocked());
        assert_eq!(lost.reason, Some(Reason::new("ticket_unknown")));
        assert!(undecided(lost));
        assert_eq!(ask(1, 412, blocked()).step, Step::Blocked);
        assert!(undecided(ask(24, 412, blocked())));
        assert_eq!(ask(48, 401, blocked()).step, Step::Blocked, "the next token gets the answer");
        assert!(undecided(ask(24 * 7, 403, blocked())));
        let unclear = || Decision::Unclear { reason: reason() };
        assert_eq!(ask(1, 412, unclear()).step, Step::Retry);
        assert!(undecided(ask(24, 412, unclear())));
        assert!(undecided(ask(24, 200, Decision::Each(vec![Outcome::Delivered]))));
    }

    #[test]
    fn what_is_not_known_is_no_verdict_it_goes_again_and_then_stops_the_destination() {
        let steps: Vec<Step> = (0..13)
            .map(|tries| {
                let flight = BatchResult { tries, ..flight(&[1]) };
                let recording =
                    flight.answered(412, verdict(Decision::Unclear { reason: reason() }), &[], 1.0);
                assert_eq!((recording.again, recording.settled.len()), (vec![1], 0));
                assert_eq!(recording.reason, Some(reason()));
                recording.step
            })
            .collect();
        assert_eq!(steps[..10], [Step::Retry; 10]);
        assert_eq!(steps[10..], [Step::Blocked; 3]);
    }

    #[test]
    fn what_may_have_arrived_and_would_count_twice_is_not_sent_again() {
        let mut some = flight(&[1, 2, 3]);
        some.give_up(&[1, 3]);
        let recording = some.unanswered(SendError::Broken, 1.0);
        let given_up = Receipt::perhaps_delivered;
        assert_eq!((recording.step, recording.again), (Step::Retry, vec![2]));
        assert_eq!(recording.settled, [given_up(1), given_up(3)]);
        let mut lone = flight(&[1]);
        lone.give_up(&[1]);
        let recording = lone.unanswered(SendError::Timeout, 1.0);
        assert_eq!((recording.step, recording.again.len()), (Step::Each, 0));
        assert_eq!(recording.answer, json!({"sent": "unknown"}));
    }

    #[test]
    fn only_what_is_refused_before_it_is_read_is_in_no_doubt() {
        // For every status the words that are believed; all others are doubt.
        let words = [
            ("refused", Word::Refused),
            ("again", Word::Again),
            ("retry", Word::Retry),
            ("wait", Word::Wait),
            ("split", Word::Split),
            ("blocked", Word::Blocked),
        ];
        for status in 100..=599 {
            let certain = words.iter().filter(|(_, word)| !may_have_arrived(status, *word));
            let certain: Vec<&str> = certain.map(|(name, _)| *name).collect();
            let expected: &[&str] = match status {
                200..=299 => &["refused"],
                408 | 409 | 499 => &[],
                400..=498 => &["refused", "again", "wait", "split", "blocked"],
                _ => &[],
            };
            assert_eq!(certain, expected, "{status}");
        }
    }

    #[test]
    fn an_answer_that_proves_nothing_names_the_events_of_its_request() {
        let wait = || Decision::Wait { reason: reason(), after: Duration::from_secs(1) };
        let retry = || Decision::Retry { reason: reason(), after: None };
        let blocked = || Decision::Blocked { reason: reason() };
        let split = || Decision::Split { reason: reason() };
        let blamed =
            || Decision::Each(vec![Outcome::Refused(reason()), Outcome::Again, Outcome::Delivered]);
        for (status, decision, expected) in [
            (400, retry(), &[1, 2, 3][..]),
            (408, split(), &[1, 2, 3]),
            (500, wait(), &[1, 2, 3]),
            (200, wait(), &[1, 2, 3]),
            (429, wait(), &[]),
            (400, wait(), &[]),
            (500, blocked(), &[1, 2, 3]),
            (401, blocked(), &[]),
            (500, blamed(), &[1, 2]),
            (400, blamed(), &[]),
            (200, blamed(), &[2]),
            (200, Decision::Each(Vec::new()), &[1, 2, 3]),
            (202, processing(), &[]),
        ] {
            let mut flight = flight(&[1, 2, 3]);
            flight.unsent = vec![9];
            let said = format!("{status} {decision:?}");
            let recording = flight.answered(status, verdict(decision), &[], 0.5);
            assert_eq!(recording.doubtful, expected, "{said}");
            let noted = recording.answer.get("sent").is_some();
            assert_eq!(noted, !expected.is_empty(), "{said}");
        }
        assert_eq!(flight(&[1]).unanswered(SendError::Broken, 0.5).doubtful, [1]);
        assert_eq!(flight(&[1]).unanswered(SendError::Connect, 0.5).doubtful, [0; 0]);
    }

    #[test]
    fn an_error_after_which_an_event_may_be_there_ends_it_where_a_second_copy_would_count() {
        let answered = |status, decision| {
            let recording = flight(&[1, 2]).answered(status, verdict(decision), &[2], 1.0);
            let ended: Vec<_> = recording.settled.iter().map(|s| (s.event, s.status)).collect();
            (recording.step, recording.again, ended)
        };
        let retry = || Decision::Retry { reason: reason(), after: None };
        let gone = vec![(2, Status::Undecided)];
        assert_eq!(answered(500, retry()), (Step::Retry, vec![1], gone.clone()));
        assert_eq!(answered(408, retry()), (Step::Retry, vec![1], gone.clone()));
        let split = Decision::Split { reason: reason() };
        assert_eq!(answered(200, split), (Step::Each, vec![1], gone), "no half is left");
        assert_eq!(answered(503, retry()), (Step::Retry, vec![1, 2], vec![]));
        assert_eq!(answered(404, retry()), (Step::Retry, vec![1, 2], vec![]));
        let alone = flight(&[2]).answered(502, verdict(retry()), &[2], 1.0);
        assert_eq!((alone.step, alone.again.len()), (Step::Each, 0));
    }

    #[test]
    fn what_was_accepted_and_goes_again_is_in_doubt() {
        let ask = |decision| {
            let asked = flight(&[7, 3]).asked(&accepted(2, 1), 400, verdict(decision), 1.0);
            (asked.again, asked.doubtful)
        };
        let each = Decision::Each(vec![Outcome::Delivered, Outcome::Retry(reason())]);
        assert_eq!(ask(each), (vec![3], vec![3]));
        assert_eq!(ask(Decision::Split { reason: reason() }), (vec![7, 3], vec![7, 3]));
        // Asked again, and nothing is sent.
        for decision in [
            Decision::Retry { reason: reason(), after: None },
            Decision::Wait { reason: reason(), after: Duration::ZERO },
            Decision::Blocked { reason: reason() },
        ] {
            assert_eq!(ask(decision), (vec![7, 3], vec![]));
        }
    }

    fn any_outcome() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            Just(Outcome::Delivered),
            Just(Outcome::Refused(reason())),
            Just(Outcome::Retry(reason())),
            Just(Outcome::Again),
        ]
    }

    fn any_decision() -> impl Strategy<Value = Decision> {
        prop_oneof![
            prop::collection::vec(any_outcome(), 0..6).prop_map(Decision::Each),
            Just(Decision::Accepted { ticket: Ticket("t".into()), after: Duration::ZERO }),
            Just(Decision::Retry { reason: reason(), after: None }),
            Just(Decision::Retry { reason: reason(), after: Some(Duration::from_secs(9)) }),
            Just(Decision::Wait { reason: reason(), after: Duration::from_secs(9) }),
            Just(Decision::Split { reason: reason() }),
            Just(Decision::Blocked { reason: reason() }),
            Just(Decision::Unclear { reason: reason() }),
        ]
    }

    proptest! {
        #[test]
        fn every_event_is_accounted_for_exactly_once(
            (settled, sent, unsent) in (0..4i64, 0..6i64, 0..4i64),
            decision in any_decision(),
            answered: bool,
            ticket in prop::option::of((0..20u32, 0..48u64)),
            status in prop_oneof![Just(200u16), Just(400), Just(404), Just(408), Just(500), 100..600u16],
            doubled in prop::collection::vec(10..16i64, 0..3),
            tries: u32,
            draw in 0.0..1.0f64,
        ) {
            let flight = BatchResult {
                settled: (0..settled).map(Receipt::expired).collect(),
                sent: (10..10 + sent).collect(),
                unsent: (20..20 + unsent).collect(),
                tries,
            };
            let mut expected: Vec<i64> = (0..settled).chain(10..10 + sent).chain(20..20 + unsent).collect();
            let ticket = ticket.map(|(polls, hours)| accepted(polls, hours));
            let recording = match (answered, sent, &ticket) {
                (true, 1.., None) => {
                    flight.answered(status, verdict(decision), &doubled, draw)
                }
                (false, 1.., None) => flight.unanswered(SendError::Timeout, draw),
                (true, 1.., Some(ticket)) => flight.asked(ticket, status, verdict(decision), draw),
                (false, 1.., Some(ticket)) => flight.unasked(ticket, SendError::Timeout, draw),
                _ => flight.without_request(),
            };
            let mut found: Vec<i64> = recording.settled.iter().map(|s| s.event).collect();
            found.extend(&recording.again);
            found.extend(&recording.accepted);
            found.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(found, expected);
            // Doubt is of what was in the request, once, and never of what was delivered.
            for event in &recording.doubtful {
                prop_assert!((10..10 + sent).contains(event));
                prop_assert!(!recording.settled.iter().any(|s| s.event == *event && s.status == Status::Delivered));
            }
            prop_assert_eq!(recording.step == Step::Accepted, recording.ticket.is_some());
            prop_assert_eq!(recording.step == Step::Accepted, !recording.accepted.is_empty());
            if recording.step == Step::Split {
                prop_assert!(recording.again.len() > 1);
            }
            // Nothing goes again that may be there and would count twice, but where HTTP says that it was not handled.
            if answered && ticket.is_none() && !is_unhandled(status) {
                let both = |event: &&i64| recording.doubtful.contains(event) && doubled.contains(event);
                prop_assert_eq!(recording.again.iter().find(both), None);
            }
        }
    }
}
