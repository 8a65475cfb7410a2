//! Meta's error codes: what each means for the events, and the way out.
//!
//! Sources, all read 2026-09-12: <https://developers.facebook.com/docs/graph-api/guides/error-handling>,
//! <https://developers.facebook.com/docs/marketing-api/error-reference>,
//! <https://developers.facebook.com/docs/graph-api/overview/rate-limiting>. What those pages leave
//! out was recorded by others from the real endpoint; such rows say so.

/// What the account's owner, time or a new payload can mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The same request may succeed later.
    Retry,
    /// Too many calls.
    Throttle,
    /// Token, permission, pixel or version: nothing will succeed until somebody changes it.
    Configuration,
    /// Nothing that Meta documents.
    Unknown,
    /// Something in the request, and by the API's atomicity perhaps in one event only.
    Payload,
}

use Class::{Configuration, Payload, Retry, Throttle};

/// First and last code of a kind, its class, and a sentence for people. The first row that fits
/// counts.
const CODES: &[(i64, i64, Class, &str)] = &[
    (1, 1, Retry, "Meta had an error that it does not name; the events are sent again"),
    (2, 2, Retry, "Meta is temporarily unavailable; the events are sent again"),
    (
        3,
        3,
        Configuration,
        "the app behind the token lacks the capability for this call; make a token in Events \
         Manager, then resume the destination",
    ),
    (4, 4, Throttle, "the app has made too many calls; the events wait and go again"),
    (
        10,
        10,
        Configuration,
        "the token has lost a permission, or never had it; give it access to the dataset, then \
         resume the destination",
    ),
    (17, 17, Throttle, "the account has made too many calls; the events wait and go again"),
    (32, 32, Throttle, "the page has made too many calls; the events wait and go again"),
    (
        100,
        100,
        Payload,
        "a parameter of the event is invalid; compare capi.preview with Meta's reference",
    ),
    (
        102,
        102,
        Configuration,
        "the token's session is no longer valid; make a new token, then resume the destination",
    ),
    (
        104,
        104,
        Configuration,
        "Meta wants the calls of this app signed, which this program does not do; make a token in \
         Events Manager, then resume the destination",
    ),
    // rudder-transformer at c98d160, 2026-08-06.
    (105, 105, Payload, "the event has too many parameters; take some out of custom"),
    (
        190,
        190,
        Configuration,
        "the access token is invalid or has expired; make a new one in Events Manager and store it \
         under the credential's name, then resume the destination",
    ),
    (
        294,
        294,
        Configuration,
        "the app behind the token needs ads_management and must be accepted by Meta; or make a \
         token in Events Manager, then resume the destination",
    ),
    (
        200,
        299,
        Configuration,
        "the token may not send to this pixel; give its user access to the dataset, then resume \
         the destination",
    ),
    (341, 341, Throttle, "the app has reached a temporary limit; the events wait and go again"),
    (
        368,
        368,
        Configuration,
        "Meta has blocked the account for a time over its policies; settle it in Business Support, \
         then resume the destination",
    ),
    (506, 506, Payload, "Meta takes this for a doubled post, which an event cannot be"),
    (613, 613, Throttle, "too many calls in a short time; the events wait and go again"),
    // Third parties, read 2026-09-12.
    (803, 803, Configuration, "no such pixel; correct pixel_id, then resume the destination"),
    // 2500 and 2635, a wrong path and an expired version, would refuse all there is:
    // https://github.com/facebook/facebook-nodejs-business-sdk/issues/239, 2022-12-13.
    (2_500, 2_500, Configuration, "no such path; correct endpoint and pixel_id"),
    (
        2_635,
        2_635,
        Configuration,
        "this version of the API has ended; set api_version to a newer one, then resume the \
         destination",
    ),
    (5_000, 5_000, Retry, "Meta had an internal error; the events are sent again"),
    // rudder-transformer at c98d160, 2026-08-06.
    (21_009, 21_009, Retry, "the dataset is not ready yet; the events are sent again"),
    (80_000, 80_006, Throttle, "a budget of calls is used up; the events wait and go again"),
    (80_008, 80_009, Throttle, "a budget of calls is used up; the events wait and go again"),
    (80_014, 80_014, Throttle, "a budget of calls is used up; the events wait and go again"),
];

/// Code and subcode, the class where it differs from the code's, and a sentence for people.
const SUBCODES: &[(i64, i64, Option<Class>, &str)] = &[
    (1, 99, Some(Payload), "a parameter is wrong; compare capi.preview with Meta's reference"),
    (4, 1_504_022, None, "the app has made too many calls; the events wait and go again"),
    (4, 1_504_039, None, "the app has made too many calls; the events wait and go again"),
    (17, 2_446_079, None, "the ad account has made too many calls; the events wait and go again"),
    (
        100,
        33,
        Some(Configuration),
        "no such pixel, or the token may not see it; correct pixel_id or the token's access, then \
         resume the destination",
    ),
    // The subcodes 2804… were recorded by third parties from the real endpoint, and by
    // rudder-transformer at c98d160, 2026-08-06.
    (
        100,
        2_804_001,
        None,
        "fbc is malformed; pass the _fbc cookie on as it is, or fbclid with fbclid_at",
    ),
    (
        100,
        2_804_003,
        None,
        "event_time is too old: 7 days, for physical_store 62; nothing can be done for this event, \
         and its time must not be changed",
    ),
    (100, 2_804_007, None, UNEXPLAINED),
    (100, 2_804_009, None, "a Purchase lacks value; let the view return the amount"),
    (100, 2_804_010, None, "a Purchase lacks currency; let the view return its ISO 4217 code"),
    (
        100,
        2_804_016,
        None,
        "an identifier is not hashed although it must be; this is a fault of this program, please \
         report it with the request id",
    ),
    (100, 2_804_017, None, UNEXPLAINED),
    (
        100,
        2_804_019,
        None,
        "ctwa_clid or event_time is refused, by contradicting accounts of others; check both",
    ),
    (
        100,
        2_804_030,
        None,
        "Meta wants to know about Limited Data Use; let the view return data_processing_options, \
         or set limited_data_use",
    ),
    (
        100,
        2_804_043,
        None,
        "the system's version in the extinfo of app_data is empty; let the app fill its fifth slot",
    ),
    (100, 2_804_048, None, UNEXPLAINED),
    (
        100,
        2_804_050,
        None,
        "what is known of the customer is not enough or fits too many; add email, phone, \
         external_id, fbp or fbc",
    ),
    (100, 2_804_063, None, "messaging_channel is missing; let the view return it"),
    (
        100,
        2_804_066,
        None,
        "event_name is none that messages may have; LeadSubmitted, Purchase, AddToCart, \
         InitiateCheckout and ViewContent are",
    ),
    (
        100,
        2_804_072,
        None,
        "page_id does not belong to the click id ctwa_clid; let the view return the page whose ad \
         was clicked",
    ),
    (
        190,
        458,
        None,
        "the token's user has removed the app; make a new token, then resume the \
         destination",
    ),
    (
        190,
        459,
        None,
        "the token's user must log in at Facebook and pass a check; then resume the destination",
    ),
    (
        190,
        460,
        None,
        "the token's user has changed the password; make a new token, then resume the destination",
    ),
    (190, 463, None, "the access token has expired; make a new one, then resume the destination"),
    (
        190,
        464,
        None,
        "the token's user is not confirmed; confirm the account at Facebook, then resume the \
         destination",
    ),
    (
        190,
        467,
        None,
        "the access token was made invalid; make a new one, then resume the destination",
    ),
    (613, 1_487_742, None, "too many calls in a short time; the events wait and go again"),
    (613, 5_044_001, None, "too many changes in a short time; the events wait and go again"),
];

const UNEXPLAINED: &str = "Meta refuses the event for good and publishes no reason; compare \
                           capi.preview with Meta's reference, and ask Meta with the request id";

fn row(code: i64) -> Option<&'static (i64, i64, Class, &'static str)> {
    CODES.iter().find(|(first, last, ..)| (*first..=*last).contains(&code))
}

fn subrow(
    code: i64,
    subcode: Option<i64>,
) -> Option<&'static (i64, i64, Option<Class>, &'static str)> {
    SUBCODES.iter().find(|(of, sub, ..)| *of == code && Some(*sub) == subcode)
}

/// What an error asks for. Throttling goes first, as it is often marked transient and must cost
/// no attempt; then Meta's own word that it will pass; then the tables.
pub(super) fn class(
    code: Option<i64>,
    subcode: Option<i64>,
    is_transient: bool,
    status: u16,
) -> Class {
    let of_code = code.and_then(row).map(|(.., class, _)| *class);
    if of_code == Some(Throttle) || (code.is_none() && status == 429) {
        return Throttle;
    }
    if is_transient {
        return Retry;
    }
    // An error object without a code is nothing that Meta documents.
    let Some(code) = code else { return Retry };
    let of_subcode = subrow(code, subcode).and_then(|(_, _, class, _)| *class);
    of_subcode.or(of_code).unwrap_or(match code {
        ..0 => Retry,
        _ if status >= 500 => Retry,
        // Whatever the code, the status blames the request.
        _ if status == 400 => Payload,
        _ => Class::Unknown,
    })
}

/// Whether a new token would lift a block for this reason: its codes speak of token, app behind the
/// token or rights, and not of pixel, path, version or account. `100/33` speaks of pixel or token.
pub(super) fn is_about_credential(reason: &str) -> bool {
    let code = reason.split('/').next().and_then(|code| code.parse::<i64>().ok());
    reason == "100/33" || matches!(code, Some(3 | 10 | 102 | 104 | 190 | 200..=299))
}

/// What `100/2804003` or `190` means, and the way out.
pub(super) fn explain(reason: &str) -> Option<&'static str> {
    let (code, subcode) = match reason.split_once('/') {
        Some((code, subcode)) => (code, Some(subcode.parse().ok()?)),
        None => (reason, None),
    };
    let code: i64 = code.parse().ok()?;
    let exact = subrow(code, subcode).map(|(.., text)| *text);
    exact
        .or_else(|| row(code).map(|(.., text)| *text))
        .or_else(|| (code < 0).then_some("Meta had a passing error; the events are sent again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_token_lifts_what_is_about_the_token() {
        for reason in ["190", "190/463", "102", "10", "200", "294", "100/33"] {
            assert!(is_about_credential(reason), "{reason}");
            let (code, subcode) = reason.split_once('/').unwrap_or((reason, ""));
            let code = code.parse().expect("a code");
            let class = class(Some(code), subcode.parse().ok(), false, 400);
            assert_eq!(class, Configuration, "{reason}");
        }
        for reason in ["2635", "803", "2500", "368", "100", "100/2804003", "request_not_built", ""]
        {
            assert!(!is_about_credential(reason), "{reason}");
        }
    }
}
