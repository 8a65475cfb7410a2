//! Requests, and how a slice of events becomes some.

use serde::Serialize;

use super::body::Body;
use super::verdict::Reason;
use crate::event::Event;

/// How a request goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Without a body.
    Get,
    /// With a JSON body.
    Post,
    /// With a JSON body, too.
    Delete,
}

/// One HTTP request without its credential.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// How it goes out.
    pub method: Method,
    /// Absolute URL without credential.
    pub url: String,
    /// Further headers, in lower case, such as an API version. No credential and no person.
    pub headers: Vec<(&'static str, String)>,
    /// The JSON body of what is no GET.
    pub body: Body,
    /// Positions in the slice given to [`Destination::plan`](crate::destination::Destination::plan), in request order.
    pub events: Vec<usize>,
}

impl Request {
    /// A POST of `body` for the events at these positions.
    pub fn post(url: String, body: &impl Serialize, events: Vec<usize>) -> Self {
        Self::of(url, Body::of(body), events)
    }

    /// A POST of a body that is written already.
    pub(crate) fn of(url: String, body: Body, events: Vec<usize>) -> Self {
        Self { method: Method::Post, url, headers: Vec::new(), body, events }
    }

    /// A GET, for no event.
    pub fn get(url: String) -> Self {
        let (headers, events) = (Vec::new(), Vec::new());
        Self { method: Method::Get, url, headers, body: Body::default(), events }
    }
}

/// How a slice of events is sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The requests to send.
    pub requests: Vec<Request>,
    /// Events that can never be sent, by position.
    pub unfit: Vec<(usize, Unfit)>,
}

impl Plan {
    /// Fit events in requests of up to `limit`, each of which `request` makes of events and their
    /// positions.
    pub(crate) fn of(
        events: &[Event],
        limit: usize,
        unfit: impl Fn(&Event) -> Option<Unfit>,
        request: impl Fn(&[&Event], Vec<usize>) -> Request,
    ) -> Self {
        let mut plan = Self::default();
        let mut fit = Vec::with_capacity(events.len());
        for (at, event) in events.iter().enumerate() {
            match unfit(event) {
                Some(unfit) => plan.unfit.push((at, unfit)),
                None => fit.push(at),
            }
        }
        let part = |places: &[usize]| {
            let part: Vec<&Event> = places.iter().map(|&at| &events[at]).collect();
            request(&part, places.to_vec())
        };
        plan.requests = fit.chunks(limit).map(part).collect();
        plan
    }
}

/// Why an event can never be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The platform has no such event: settled as `unrouted`.
    Unrouted(Reason),
    /// The platform would refuse it: settled as `refused` without a request.
    Refused(Reason),
}
