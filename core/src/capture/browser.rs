//! The `browser` object: what the web request or the app held, spread over the fields.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::json_fields;
use super::row::Row;

/// Keys of the `browser` object and the fields that they fill.
const KEYS: &[(&str, &str)] = &[
    ("ip", "client_ip_address"),
    ("client_ip_address", "client_ip_address"),
    ("user_agent", "client_user_agent"),
    ("client_user_agent", "client_user_agent"),
    ("fbp", "fbp"),
    ("_fbp", "fbp"),
    ("fbc", "fbc"),
    ("_fbc", "fbc"),
    ("fbclid", "fbclid"),
    ("fbclid_at", "fbclid_at"),
    ("ga_client_id", "ga_client_id"),
    ("ga_session_id", "ga_session_id"),
    ("gclid", "gclid"),
    ("gbraid", "gbraid"),
    ("wbraid", "wbraid"),
    ("ttclid", "ttclid"),
    ("ttp", "ttp"),
    ("_ttp", "ttp"),
    ("epik", "epik"),
    ("sc_click_id", "sc_click_id"),
    ("sc_cookie1", "sc_cookie1"),
    ("_scid", "sc_cookie1"),
    ("li_fat_id", "li_fat_id"),
    ("rdt_cid", "rdt_cid"),
    ("rdt_uuid", "rdt_uuid"),
    ("_rdt_uuid", "rdt_uuid"),
    // What an app or a chat has in a browser's place.
    ("anon_id", "anon_id"),
    ("madid", "madid"),
    ("app_data", "app_data"),
    ("ctwa_clid", "ctwa_clid"),
    ("page_scoped_user_id", "page_scoped_user_id"),
    ("ig_sid", "ig_sid"),
];

/// Spreads the `browser` object over the fields; a column of its own wins.
pub(super) fn unpack(row: &mut Row, dropped: &mut BTreeMap<String, String>) {
    let Some(browser) = row.0.remove("browser") else { return };
    if json_fields::is_large(&browser) {
        dropped.insert("browser".to_owned(), "too_long".to_owned());
        return;
    }
    let Some(browser) = object(browser) else {
        dropped.insert("browser".to_owned(), "wrong_shape".to_owned());
        return;
    };
    for (key, field) in KEYS {
        if let Some(value) = browser.get(*key)
            && row.get(field).is_none()
        {
            row.0.insert(field, value.clone());
        }
    }
}

/// The object, also where it was encoded twice and stands there as text; nothing is an empty one.
fn object(browser: Value) -> Option<Map<String, Value>> {
    match browser {
        Value::Object(object) => Some(object),
        Value::Null => Some(Map::new()),
        Value::String(text) if text.trim().is_empty() => Some(Map::new()),
        Value::String(text) => serde_json::from_str(&text).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field;
    use serde_json::json;

    #[test]
    fn every_key_fills_a_field() {
        for (key, name) in KEYS {
            assert!(field::find(name).is_some(), "{key}");
        }
    }

    #[test]
    fn a_column_of_its_own_wins() {
        let row = json!({"madid": "column", "browser": {"madid": "browser", "anon_id": "a"}});
        let mut row = Row::from_object(row.as_object().expect("an object").clone());
        unpack(&mut row, &mut BTreeMap::new());
        assert_eq!(row.text("madid").as_deref(), Some("column"));
        assert_eq!(row.text("anon_id").as_deref(), Some("a"));
        assert!(row.get("browser").is_none());
    }

    #[test]
    fn an_object_within_text_is_taken_and_anything_else_is_on_record() {
        let of = |browser: Value| {
            let (mut row, mut dropped) = (Row::default(), BTreeMap::new());
            row.0.insert("browser", browser);
            unpack(&mut row, &mut dropped);
            (row.text("fbp").map(Into::<String>::into), dropped.remove("browser"))
        };
        let given = json!({"fbp": "fb.1.1789900000000.7"});
        let fbp = Some("fb.1.1789900000000.7".to_owned());
        assert_eq!(of(given.clone()), (fbp.clone(), None));
        assert_eq!(of(given.to_string().into()), (fbp, None));
        assert_eq!(of(json!(null)), (None, None));
        assert_eq!(of(json!(" ")), (None, None));
        for wrong in [json!([given]), json!("[]"), json!("fbp=x"), json!(1), json!(true)] {
            assert_eq!(of(wrong), (None, Some("wrong_shape".to_owned())));
        }
    }
}
