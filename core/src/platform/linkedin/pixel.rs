//! LinkedIn's Insight Tag.
//!
//! `event_id` beside `conversion_id`: "Deduplication" of LinkedIn's Conversions API, read
//! 2026-11-24; amount and currency are documented by others only. Browser and server need a
//! conversion rule each, so the number of the browser's stands in the setting `tag`, per event
//! name, as does the partner id. No digest: the tag takes email addresses in clear alone.

use serde_json::Value;

use crate::event::Event;
use crate::pixel::half::{Half, Silent};
use crate::pixel::parts::{currency, object, value};
use crate::pixel::script::{Call, literal};
use crate::pixel::tag::Tag;

const STUB: &str = "if(!w.lintrk){w.lintrk=function(a,b){w.lintrk.q.push([a,b])};w.lintrk.q=[]}\
    w._linkedin_data_partner_ids=w._linkedin_data_partner_ids||[];";

const LOADER: &str = "https://snap.licdn.com/li.lms-analytics/insight.min.js";

pub(crate) fn half(event: &Event, tag: &Tag) -> Result<Half, Silent> {
    let conversion = tag.event(&event.event_name).ok_or("unmapped_event")?;
    let conversion: u64 = conversion.parse().map_err(|_| "conversion_is_not_a_number")?;
    let data = object([
        ("conversion_id", Some(conversion.into())),
        ("event_id", Some(event.event_id.as_str().into())),
        ("conversion_value", value(event)),
        ("currency", currency(event)),
    ]);
    let mut id = String::new();
    literal(&tag.id.as_str().into(), &mut id);
    let stub =
        format!("{STUB}w._linkedin_partner_id={id};w._linkedin_data_partner_ids.push({id});");
    let calls = vec![Call::new("lintrk", vec!["track".into(), Value::Object(data)])];
    Ok(Half { stub, loader: LOADER, query: None, base: Vec::new(), calls })
}
