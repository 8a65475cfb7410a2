//! From the answer to one request to the arguments of `capi.record`. Pure.
//!
//! Each event of the batch is accounted for exactly once: settled by a receipt, or sent again.

use std::time::Duration;

use capi_core::destination::{Decision, Outcome, Reason, Ticket, Unfit, Verdict};
use serde_json::{Value, json};

use crate::http::SendError;
use crate::queue::Accepted;
use crate::retry::{self, Health};

/// How long a platform may say that it has not decided. Those that decide later do so within
/// minutes, some within hours.
const UNDECIDED_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a platform may not know the ticket that it has just given: its servers tell each other.
const TICKET_SETTLES: Duration = Duration::from_secs(10 * 60);

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
    /// The platform accepted it and never said what became of it.
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
pub struct Settlement {
    /// The outbox id.
    pub event: i64,
    /// How it ends.
    pub status: Status,
    /// Why, unless it was delivered.
    pub reason: Option<Reason>,
}

impl Settlement {
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
    pub settled: Vec<Settlement>,
    /// Events that the platform has accepted, in the order of their request.
    pub accepted: Vec<i64>,
    /// What to ask for them with.
    pub ticket: Option<Ticket>,
    /// Events that go again.
    pub again: Vec<i64>,
    /// When the accepted ones are asked for, or the others go again.
    pub due_in: Duration,
    /// What the request told about the destination.
    pub health: Health,
}

/// One batch on its way, by outbox ids. Together the three lists are the batch.
#[derive(Clone, Debug, Default)]
pub struct Flight {
    /// Events that ended before the request: unfit or expired.
    pub settled: Vec<Settlement>,
    /// Events of the request, in its order.
    pub sent: Vec<i64>,
    /// Events that wait for another request.
    pub unsent: Vec<i64>,
    /// Earlier attempts that count.
    pub tries: u32,
}

impl Flight {
    /// The recording of a batch that needed no request.
    pub fn without_request(self) -> Recording {
        self.recording(Step::Each, None, Duration::ZERO, Health::Unasked)
    }

    /// The recording of an answer.
    ///
    /// `draw` is uniform in 0 to 1 and spreads the next attempts.
    pub fn answered(self, status: u16, verdict: Verdict, draw: f64) -> Recording {
        let Verdict { decision, hold, request_id, summary } = verdict;
        let recording = self.decided(decision, draw);
        let mut answer = summary;
        // A success that does not acknowledge every event, or an error of the platform or of something
        // in between that does not blame the request: the platform may have taken them.
        let doubtful = matches!(status, 200..300 | 500..);
        if doubtful
            && matches!(recording.step, Step::Retry | Step::Split)
            && let Value::Object(answer) = &mut answer
        {
            answer.insert("sent".into(), "unknown".into());
        }
        Recording {
            http_status: Some(status.into()),
            request_id,
            answer,
            health: hold.map_or(recording.health, Health::Hold),
            ..recording
        }
    }

    /// Gives up events that may have arrived and that the platform would count a second time.
    pub fn give_up(&mut self, doubled: &[i64]) {
        self.sent.retain(|event| !doubled.contains(event));
        let reason = || Reason::new("perhaps_delivered");
        self.settled.extend(doubled.iter().map(|event| Settlement::refused(*event, reason())));
    }

    /// The recording of a request that brought no answer.
    pub fn unanswered(self, error: SendError, draw: f64) -> Recording {
        let reason = Some(Reason::new(error.reason()));
        let recording = match error {
            // Settings or credential are at fault, and no repetition mends them.
            SendError::Build
            | SendError::InClear
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
            | SendError::Broken => {
                let due_in = retry::backoff(self.tries, None, draw);
                self.recording(Step::Retry, reason, due_in, Health::Bad)
            }
        };
        Recording { answer: json!({"sent": error.certainty()}), ..recording }
    }

    /// The recording of an answer to the question what became of accepted events, in the order of
    /// their request. Nothing is sent again unless the platform says so.
    pub fn asked(self, accepted: &Accepted, status: u16, verdict: Verdict, draw: f64) -> Recording {
        let Verdict { decision, hold, request_id, summary } = verdict;
        let pause = |after| retry::poll(accepted.polls.saturating_add(1), after, draw);
        let forgotten = matches!(status, 404 | 410) && accepted.age >= TICKET_SETTLES;
        let overdue = accepted.age >= UNDECIDED_AFTER;
        let recording = match decision {
            Decision::Retry { .. } | Decision::Split { .. } if forgotten => {
                self.undecided("ticket_unknown")
            }
            Decision::Retry { .. } | Decision::Accepted { .. } if overdue => {
                self.undecided("no_decision")
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
        let mut answer = summary;
        // Refused as a whole after it was accepted: part of it may have been taken.
        if recording.step == Step::Split
            && let Value::Object(answer) = &mut answer
        {
            answer.insert("sent".into(), "unknown".into());
        }
        Recording {
            http_status: Some(status.into()),
            request_id,
            answer,
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
            | SendError::Credential
            | SendError::TokenRefused => {
                self.recording(Step::Blocked, reason, Duration::ZERO, Health::Bad)
            }
            SendError::Connect
            | SendError::TokenUnavailable
            | SendError::Timeout
            | SendError::Broken => {
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
        let settled = sent.into_iter().map(|event| Settlement {
            event,
            status,
            reason: Some(reason.clone()),
        });
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
            Decision::Blocked { reason } => {
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
                    self.settled.push(Settlement { event, status, reason: None });
                }
                Outcome::Refused(reason) => self.settled.push(Settlement::refused(event, reason)),
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

    fn flight(sent: &[i64]) -> Flight {
        Flight { sent: sent.to_vec(), ..Flight::default() }
    }

    #[test]
    fn delivered_events_are_settled() {
        let decision = Decision::Each(vec![Outcome::Delivered, Outcome::Delivered]);
        let recording = flight(&[4, 5]).answered(200, verdict(decision), 0.5);
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
        let recording = flight(&[1, 2, 3]).answered(400, verdict(Decision::Each(outcomes)), 1.0);
        assert_eq!(recording.again, [1, 3]);
        assert_eq!(recording.due_in, Duration::ZERO);
        assert_eq!(recording.settled, [Settlement::refused(2, reason())]);
    }

    #[test]
    fn events_that_the_platform_wants_again_wait() {
        let outcomes = vec![Outcome::Delivered, Outcome::Retry(reason())];
        let recording = flight(&[1, 2]).answered(200, verdict(Decision::Each(outcomes)), 1.0);
        assert_eq!(recording.again, [2]);
        assert_eq!(recording.due_in, Duration::from_secs(1));
        assert_eq!(recording.reason, Some(reason()));
    }

    #[test]
    fn a_lone_event_that_would_be_split_is_refused() {
        let decision = Decision::Split { reason: reason() };
        let mut lone = flight(&[1]);
        lone.unsent = vec![2];
        let recording = lone.answered(400, verdict(decision.clone()), 0.0);
        assert_eq!(recording.step, Step::Each);
        assert_eq!(recording.settled, [Settlement::refused(1, reason())]);
        assert_eq!(recording.again, [2]);
        let recording = flight(&[1, 2]).answered(400, verdict(decision), 0.0);
        assert_eq!(recording.step, Step::Split);
        assert_eq!(recording.again, [1, 2]);
    }

    #[test]
    fn a_throttled_batch_holds_the_destination() {
        let after = Duration::from_secs(420);
        let decision = Decision::Wait { reason: reason(), after };
        let recording = flight(&[1]).answered(400, verdict(decision), 0.0);
        assert_eq!((recording.step, recording.due_in), (Step::Wait, after));
        assert_eq!(recording.health, Health::Hold(after));
    }

    #[test]
    fn a_full_budget_holds_the_destination_though_all_was_delivered() {
        let mut verdict = verdict(Decision::Each(vec![Outcome::Delivered]));
        verdict.hold = Some(Duration::from_secs(60));
        let recording = flight(&[1]).answered(200, verdict, 0.0);
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
        let recording = flight.answered(202, verdict(processing()), 0.0);
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
        assert_eq!(recording.settled[0], Settlement::refused(7, reason()));
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
        assert_eq!(ask(48, 401, Decision::Blocked { reason: reason() }).step, Step::Blocked);
    }

    #[test]
    fn what_may_have_arrived_and_would_count_twice_is_not_sent_again() {
        let mut some = flight(&[1, 2, 3]);
        some.give_up(&[1, 3]);
        let recording = some.unanswered(SendError::Broken, 1.0);
        let given_up = |event| Settlement::refused(event, Reason::new("perhaps_delivered"));
        assert_eq!((recording.step, recording.again), (Step::Retry, vec![2]));
        assert_eq!(recording.settled, [given_up(1), given_up(3)]);
        let mut lone = flight(&[1]);
        lone.give_up(&[1]);
        let recording = lone.unanswered(SendError::Timeout, 1.0);
        assert_eq!((recording.step, recording.again.len()), (Step::Each, 0));
        assert_eq!(recording.answer, json!({"sent": "unknown"}));
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
        ]
    }

    proptest! {
        #[test]
        fn every_event_is_accounted_for_exactly_once(
            (settled, sent, unsent) in (0..4i64, 0..6i64, 0..4i64),
            decision in any_decision(),
            answered: bool,
            ticket in prop::option::of((0..20u32, 0..48u64)),
            status in prop_oneof![Just(200u16), Just(400), Just(404), Just(500)],
            tries: u32,
            draw in 0.0..1.0f64,
        ) {
            let flight = Flight {
                settled: (0..settled).map(Settlement::expired).collect(),
                sent: (10..10 + sent).collect(),
                unsent: (20..20 + unsent).collect(),
                tries,
            };
            let mut expected: Vec<i64> = (0..settled).chain(10..10 + sent).chain(20..20 + unsent).collect();
            let ticket = ticket.map(|(polls, hours)| accepted(polls, hours));
            let recording = match (answered, sent, &ticket) {
                (true, 1.., None) => flight.answered(status, verdict(decision), draw),
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
            prop_assert_eq!(recording.step == Step::Accepted, recording.ticket.is_some());
            prop_assert_eq!(recording.step == Step::Accepted, !recording.accepted.is_empty());
            if recording.step == Step::Split {
                prop_assert!(recording.again.len() > 1);
            }
        }
    }
}
