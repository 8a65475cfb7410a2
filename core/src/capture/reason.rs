//! What the words of a dropped field or of a row that is no event mean, and the way out.

use crate::identity::{DropReason, Identifier};

/// What the reason of a dropped field (`capi.delivery.dropped_fields`) or of a failed capture
/// means, in one sentence with the way out; `None` for a word that nobody knows. The field may be
/// a path, e.g. `contents[].quantity`.
pub fn explain(field: &str, reason: &str) -> Option<&'static str> {
    let own = WORDS.iter().find(|(word, _)| *word == reason).map(|(_, text)| *text);
    let of_identity = DropReason::ALL.into_iter().find(|known| known.as_str() == reason);
    let of_identity = of_identity.map(DropReason::explanation);
    // A phone that is `not_a_number` is another matter than an amount.
    match Identifier::parse(field) {
        Some(_) => of_identity.or(own),
        None => own.or(of_identity),
    }
}

/// The words of facts and of the event itself; identifiers have [`DropReason`].
const WORDS: &[(&str, &str)] = &[
    (
        "view_gone",
        "the conversion view was dropped; make it again and call capi.track, or call capi.untrack",
    ),
    (
        "view_changed",
        "what stood under the name of the conversion view was another one, or another role's; look \
         at it with capi.check_view and call capi.track",
    ),
    (
        "type_changed",
        "the column of the conversion view has got a type that does not fit; capi.check_view says \
         which one does, then call capi.track",
    ),
    (
        "lends_rights",
        "the view would run somebody else's function with its owner's rights; capi.check_view names it",
    ),
    (
        "temporary_objects",
        "the session has temporary objects that a function of the view could find; give the function a \
         search_path that ends with pg_temp, capi.check_view names it",
    ),
    ("key_changed", "the primary key of the table is not what it was; call capi.track again"),
    ("missing", "the event cannot be without this field; let the view return it"),
    (
        "no_time_with_zone",
        "the time does not say its offset from UTC; let the view return timestamptz",
    ),
    (
        "in_the_future",
        "the event is more than ten minutes ahead of the server; let the view return the time of \
         the business fact, and check the clock that wrote it",
    ),
    (
        "unknown_action_source",
        "action_source is one of the nine words of capi.field, in lower case; map it in the view",
    ),
    (
        "unknown_currency",
        "no current ISO 4217 code such as EUR: funds, metals, codes for tests and withdrawn money \
         are none; map it in the view",
    ),
    (
        "no_currency",
        "an amount without currency is no amount; let the view return currency with value",
    ),
    (
        "neither_yes_nor_no",
        "consent is true, false, null or one of the usual words; map it in the view",
    ),
    ("not_a_number", "the value is no finite decimal number; correct the source"),
    (
        "not_a_whole_number",
        "the value is no whole number, or a negative one where there is none; round it in the view",
    ),
    ("not_a_boolean", "the value is neither true nor false; map it in the view"),
    ("neither_0_nor_1", "the value is 0 or 1, or a boolean; map it in the view"),
    (
        "not_a_time",
        "the value is no time with its offset and no number of seconds since 1970; milliseconds \
         are divided by 1000 in the view",
    ),
    (
        "not_printable",
        "the text holds control characters such as line breaks, or the name of an event what \
         nobody sees; replace them in the view",
    ),
    (
        "unknown_field",
        "an emitted event had members that are no fields; capi.field lists every name, and extra \
         properties go into custom",
    ),
    ("not_an_object", "an event is handed to capi.emit as a JSON object, or several in an array"),
    (
        "email_address",
        "what is kept in clear (key, name and id of an event, and every fact) may hold no mail \
         address; give a number of your own, and return the address as the column email, where it \
         is hashed",
    ),
    (
        "phone_number",
        "what is kept in clear (key, name and id of an event, and every fact) may hold no phone \
         number; give a number of your own, and return that one as the column phone, where it is \
         hashed",
    ),
    (
        "identifier",
        "an item has a key with the name of an identifier, such as recipient_email; leave it out, \
         or name the key otherwise if it is none",
    ),
    (
        "no_name_of_a_destination",
        "a consent map holds names that no platform and no destination can have; they say nothing \
         and are not kept",
    ),
    (
        "too_many",
        "a consent map holds more than 100 names; give those of platforms and destinations, and * \
         for all others",
    ),
    ("too_deep", "the JSON is nested more than 64 levels deep; no platform takes that"),
    ("too_long", "a text has 4096 bytes at most, a name, an id or a key 256; shorten it"),
    ("wrong_shape", "the JSON has not the shape of this field; capi.field says which it has"),
    (
        "unknown_word",
        "the field has a fixed set of words, which capi.field names; map them in the view",
    ),
    ("unknown_key", "the object holds a key that no platform knows here; leave it out"),
    (
        "name_of_a_field",
        "a custom property has the name of a field; return it as a column of its own",
    ),
    ("number_out_of_range", "Postgres could not store a number of this JSON; round it in the view"),
    ("not_16_slots", "extinfo has 16 slots, all present, empty ones as empty texts"),
    ("neither_a2_nor_i2", "the first slot of extinfo is a2 for Android or i2 for iOS"),
    ("no_os_version", "the fifth slot of extinfo, the system's version, is empty"),
    (
        "not_a_web_address",
        "the page begins with https:// or http:// and a host; let the view return the whole address",
    ),
    ("not_15_to_17_digits", "Meta's id of a lead has 15 to 17 digits; return it as Meta gave it"),
    (
        "neither_empty_nor_ldu",
        "data_processing_options is an empty array or array['LDU']; until then the event is not \
         sent",
    ),
    (
        "query_held_an_email_address",
        "parameters with an @, which email addresses have, were cut off, or the fragment; keep mail \
         addresses out of URLs",
    ),
    (
        "query_held_an_identifier",
        "parameters with the name of an identifier, such as phone, were cut off, or the fragment; \
         return the identifier as a column of its own",
    ),
    (
        "path_held_an_email_address",
        "the path was cut off from the email address on; keep email addresses out of URLs",
    ),
    (
        "query_held_a_phone_number",
        "parameters with an international phone number were cut off, or the fragment; keep phone \
         numbers out of URLs",
    ),
    (
        "path_held_a_phone_number",
        "the path was cut off from the phone number on; keep phone numbers out of URLs",
    ),
    ("user_in_url", "user and password in front of the host were cut off; keep them out of URLs"),
    (
        "identifier_in_custom",
        "a custom property has the name of an identifier; return it as a column of its own, where \
         it is hashed, or name the property otherwise if it is none",
    ),
    (
        "email_address_in_custom",
        "a custom property holds an email address; return that as the column email, where it is \
         hashed",
    ),
    (
        "phone_number_in_custom",
        "a custom property holds a phone number; return that as the column phone, where it is \
         hashed",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_explained_by_their_field() {
        for (at, (word, text)) in WORDS.iter().enumerate() {
            assert_eq!(explain("contents", word), Some(*text));
            assert!(WORDS[..at].iter().all(|(other, _)| other != word), "{word} twice");
            assert!(!text.ends_with('.'), "{word}");
        }
        for reason in DropReason::ALL {
            assert!(explain("fbc", reason.as_str()).is_some());
        }
        assert_ne!(explain("phone", "not_a_number"), explain("value", "not_a_number"));
        assert_eq!(explain("email", "nonsense"), None);
    }
}
