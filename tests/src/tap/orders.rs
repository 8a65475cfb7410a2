//! What is to happen on a line, and when.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::patience::eventually;

/// Where in an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Before any of it has gone on.
    Before,
    /// When half of the request has gone on. On the line to the platform only.
    HalfSent,
    /// When the other side is done with it and nothing of the answer has come back.
    After,
    /// When half of the answer has come back. On the line to the platform only.
    HalfAnswered,
}

/// What happens there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// Nothing goes on until the sidecar gives up or dies.
    Hold,
    /// Both ends are closed.
    Cut,
    /// This comes back instead of the answer. On the line to the platform only.
    Answer(&'static str),
}

/// One fault that is waiting to happen, and how many have.
#[derive(Clone, Debug, Default)]
pub(super) struct Orders(Arc<Mutex<(Vec<Order>, u32)>>);

#[derive(Clone, Debug)]
pub(super) struct Order {
    /// Part of the statement; any request where it is empty.
    pub(super) call: &'static str,
    pub(super) when: When,
    pub(super) then: Then,
}

impl Orders {
    pub(super) fn add(&self, order: Order) {
        self.0.lock().expect("no panic").0.push(order);
    }

    /// The order that this exchange fulfils, which is thereby done. Whoever takes it says when it
    /// has happened.
    pub(super) fn take(&self, text: &str) -> Option<Order> {
        let mut orders = self.0.lock().expect("no panic");
        let at = orders.0.iter().position(|order| text.contains(order.call))?;
        Some(orders.0.remove(at))
    }

    pub(super) fn happened(&self) {
        self.0.lock().expect("no panic").1 += 1;
    }

    /// Waits until so many faults have happened.
    pub(super) async fn until(&self, times: u32) {
        eventually("the step is reached", 40, async || {
            let happened = self.0.lock().expect("no panic").1;
            if happened >= times { Ok(()) } else { Err(format!("{happened} of {times}")) }
        })
        .await;
    }
}

/// Reads and forgets until the other side closes.
pub(super) async fn hold(side: &mut (impl AsyncRead + Unpin)) {
    let mut buffer = [0; 4096];
    while side.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
}
