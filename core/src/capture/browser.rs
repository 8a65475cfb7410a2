//! The `browser` object: what the web request or the app held, spread over the fields.

use serde_json::Value;

use super::Row;

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
pub(super) fn unpack(row: &mut Row) {
    let Some(Value::Object(browser)) = row.0.remove("browser") else { return };
    for (key, field) in KEYS {
        if let Some(value) = browser.get(*key)
            && row.get(field).is_none()
        {
            row.0.insert(field, value.clone());
        }
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
        unpack(&mut row);
        assert_eq!(row.text("madid").as_deref(), Some("column"));
        assert_eq!(row.text("anon_id").as_deref(), Some("a"));
        assert!(row.get("browser").is_none());
    }
}
