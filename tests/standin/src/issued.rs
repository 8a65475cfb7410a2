//! Owns what platforms hand out and must recognise later: access tokens and numbers of requests.

use std::collections::{HashMap, VecDeque};

use serde_json::Value;

use super::platform::Platform;

/// Requests whose outcome can still be asked for.
const MAX_REQUESTS: usize = 10_000;

/// What became of a request at one destination.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    /// The destination as the request had it.
    pub(super) destination: Value,
    /// Events that were meant for it.
    pub(super) events: usize,
    /// Events that failed after they were accepted: a reason and their positions in the request.
    pub(super) failures: Vec<(&'static str, Vec<usize>)>,
}

impl Outcome {
    /// Notes an event that failed.
    pub(super) fn fail(&mut self, reason: &'static str, at: usize) {
        match self.failures.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, positions)) => positions.push(at),
            None => self.failures.push((reason, vec![at])),
        }
    }
}

/// A request that was accepted and whose outcome comes later.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) id: String,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) asked: u32,
}

/// Tokens and requests that were handed out.
#[derive(Debug, Default)]
pub(super) struct Issued {
    issued: u64,
    tokens: HashMap<String, (Platform, i64)>,
    pending: VecDeque<Pending>,
}

impl Issued {
    /// Hands out an access token that is good until `expires_us`.
    pub(super) fn issue(&mut self, platform: Platform, expires_us: i64) -> String {
        self.issued += 1;
        let token = format!("standin-access-token-{}-{}", platform.name(), self.issued);
        self.tokens.insert(token.clone(), (platform, expires_us));
        token
    }

    /// Whether the token was handed out for the platform and has not run out.
    pub(super) fn knows(&self, platform: Platform, token: &str, now_us: i64) -> bool {
        self.tokens.get(token).is_some_and(|(of, until)| *of == platform && now_us < *until)
    }

    /// Keeps a request for those who ask later.
    pub(super) fn keep(&mut self, pending: Pending) {
        self.pending.push_back(pending);
        if self.pending.len() > MAX_REQUESTS {
            self.pending.pop_front();
        }
    }

    /// Asks for a request; counts how often that was done.
    pub(super) fn ask(&mut self, id: &str) -> Option<Pending> {
        let pending = self.pending.iter_mut().find(|pending| pending.id == id)?;
        pending.asked += 1;
        Some(pending.clone())
    }

    /// Forgets all requests; tokens stay good.
    pub(super) fn forget_requests(&mut self) {
        self.pending.clear();
    }
}
