//! Owns events from conversations with a business.

use super::shape::Fields;
use crate::refusal::Checked;

/// Channels, with the ids that tell where the conversation began.
const CHANNELS: [(&str, [&str; 2]); 3] = [
    ("whatsapp", ["page_id", "ctwa_clid"]),
    ("messenger", ["page_id", "page_scoped_user_id"]),
    ("instagram", ["ig_account_id", "ig_sid"]),
];

const EVENT_NAMES: [&str; 5] =
    ["LeadSubmitted", "Purchase", "AddToCart", "InitiateCheckout", "ViewContent"];

/// Judges the channel and, for conversations, what it asks for.
pub(super) fn check(event: Fields<'_>, user: Fields<'_>, source: &str, name: &str) -> Checked<()> {
    let channel = event.text("messaging_channel");
    let ids = channel.map(|channel| {
        CHANNELS.iter().find(|(known, _)| *known == channel).map(|(_, ids)| ids).ok_or_else(|| {
            event.refuse("messaging_channel", "must be whatsapp, messenger or instagram")
        })
    });
    let ids = ids.transpose()?;
    if source != "business_messaging" {
        return Ok(());
    }
    let ids = ids.ok_or_else(|| {
        let rule = "is required for business_messaging events";
        event.refuse_as(2_804_063, "messaging_channel", rule)
    })?;
    if !EVENT_NAMES.contains(&name) {
        let rule = "is not allowed for business_messaging events";
        return Err(event.refuse_as(2_804_066, "event_name", rule));
    }
    user.require(ids, "is required for this messaging channel")
}
