//! Reasons that are no platform's, each with the way out.

/// Reasons of the HTTP client that say: another credential.
pub(crate) const CREDENTIAL_REASONS: [&str; 2] = ["credential_malformed", "token_refused"];

/// Reasons that are no platform's.
pub(crate) const REASONS: &[(&str, &str)] = &[
    (
        "too_old",
        "the platform takes events up to an age, and this one is past it; find out what held it \
         up, and do not change its event_time",
    ),
    ("consent_refused", "the customer has refused; nothing is to be done"),
    (
        "no_refunds",
        "the platform has no refunds; nothing is to be done, or map Refund to a name of your own \
         with the setting events",
    ),
    (
        "no_limited_use",
        "the event may be used in a limited way only, by data_processing_options or opt_out, and \
         the platform has no word for that; nothing is to be done",
    ),
    ("not_in_only", "the setting only of the destination does not name the event"),
    (
        "no_event_mapping",
        "the platform knows events by ids that are made there; add event_name and id to the \
         setting events of the destination",
    ),
    (
        "no_such_event",
        "the platform has no such event and takes no names of one's own; map it to one of its \
         events with the setting events",
    ),
    (
        "perhaps_delivered",
        "the answer was lost, or was an error of the server, so the platform may have the event; \
         it would count a second copy, so the event is not sent again",
    ),
    (
        "answers_not_recorded",
        "ten answers in a row could not be recorded, so the events went again each time; look in the \
         sidecar's log why the database refuses, or what ends the sidecar, then resume the destination",
    ),
    (
        "token_refused",
        "the token endpoint refuses the credential; renew it, then resume the destination",
    ),
    (
        "token_unavailable",
        "the token endpoint could not be reached or did not answer; the events go again",
    ),
    (
        "credential_malformed",
        "the credential is not in the form that docs/reference/platforms.md gives for the platform; \
         correct it, then resume the destination",
    ),
    (
        "request_not_built",
        "no request could be made of settings and credential; correct them, then resume the \
         destination",
    ),
    (
        "tls_required",
        "the credential would travel in clear; set endpoint to https, then resume the destination",
    ),
    (
        "endpoint_not_allowed",
        "the sidecar's configuration does not let the credential go to this host; correct endpoint, \
         or have whoever runs the sidecar add the host, then resume the destination",
    ),
    ("no_request", "the platform makes nothing of this event; nothing is to be done"),
    (
        "connect_failed",
        "the platform could not be reached; the events go again; check network, DNS and endpoint",
    ),
    (
        "answer_timeout",
        "the platform did not answer in time, so it may have taken the events; they go again, and \
         it drops by their id those that it has",
    ),
    (
        "answer_lost",
        "the connection broke, so the platform may have taken the events; they go again, and it \
         drops by their id those that it has",
    ),
    (
        "answer_repeated",
        "the answer bears the id of an earlier one, so it says nothing of these events, and the \
         platform may have taken them; they go again over another connection, and it drops by \
         their id those that it has",
    ),
    (
        "ticket_unknown",
        "the platform accepted the event and does not know its ticket any more; look into its own \
         reports before you replay the event",
    ),
    (
        "no_decision",
        "the platform accepted the event and has not said in a day what became of it; look into its \
         own reports before you replay the event",
    ),
    (
        "ticket_not_supported",
        "the platform of this program takes no tickets, and the events were accepted with one; run \
         the program that sent them",
    ),
    (
        "destination_dropped",
        "the destination was dropped while the platform had not decided yet; nothing is to be done",
    ),
    ("retention", "the event was still open when its week was dropped; find out what held it up"),
];
