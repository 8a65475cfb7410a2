//! How full the budgets of calls are, and how long to leave an account alone.
//!
//! <https://developers.facebook.com/docs/graph-api/overview/rate-limiting>, read 2026-09-12. The
//! header `X-FB-Ads-Insights-Throttle` is about reports only and is not read: events would wait for
//! a budget that they do not use.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::destination::Response;

/// How long to leave a throttled account alone when the answer names no time: the block of the
/// full access tier.
const THROTTLE_PAUSE: Duration = Duration::from_secs(60);

/// A usage header's estimate is believed up to this long.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// Usage, in percent, from which on calls are throttled.
const USAGE_LIMIT: f64 = 100.0;

/// How long a throttled destination waits.
pub(super) fn pause(answer: &Response) -> Duration {
    let named = answer.retry_after().into_iter().chain(Usage::read(answer).regain);
    named.max().unwrap_or(THROTTLE_PAUSE).min(LONGEST_PAUSE)
}

/// What the usage headers say.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// The fullest budget in percent.
    pub(super) percent: Option<f64>,
    /// Time until access comes back.
    regain: Option<Duration>,
}

impl Usage {
    pub(super) fn read(answer: &Response) -> Self {
        let json = |name| -> Option<Map<String, Value>> {
            serde_json::from_str(answer.header(name)?).ok()
        };
        let mut usage = Self::default();
        if let Some(app) = json("x-app-usage") {
            usage.take(&app);
        }
        if let Some(account) = json("x-ad-account-usage") {
            usage.take(&account);
        }
        // By business object, a list of budgets each; the object ids are of no use.
        for budgets in json("x-business-use-case-usage").iter().flatten().map(|(_, list)| list) {
            for budget in budgets.as_array().into_iter().flatten().filter_map(Value::as_object) {
                usage.take(budget);
            }
        }
        usage
    }

    fn take(&mut self, budget: &Map<String, Value>) {
        let number = |key: &str| budget.get(key).and_then(Value::as_f64);
        for key in ["call_count", "total_cputime", "total_time", "acc_id_util_pct"] {
            self.percent = number(key).into_iter().chain(self.percent).reduce(f64::max);
        }
        let minutes = number("estimated_time_to_regain_access").map(|minutes| minutes * 60.0);
        // The reset time stands in every answer; it matters once the budget is spent.
        let spent = number("acc_id_util_pct").is_some_and(|percent| percent >= USAGE_LIMIT);
        let reset = number("reset_time_duration").filter(|_| spent);
        for seconds in [minutes, reset].into_iter().flatten().filter(|seconds| *seconds > 0.0) {
            let wait = Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_PAUSE);
            self.regain = self.regain.max(Some(wait.min(LONGEST_PAUSE)));
        }
    }

    /// How long further requests would only be throttled.
    pub(super) fn hold(&self) -> Option<Duration> {
        let spent = self.percent.is_some_and(|percent| percent >= USAGE_LIMIT);
        self.regain.or(spent.then_some(THROTTLE_PAUSE))
    }
}
