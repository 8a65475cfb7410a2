//! Owns `custom_data`: money, goods and whatever the sender adds of its own.

use serde_json::Value;

use super::shape::{Fields, Object, Shape};
use crate::decimal::Decimal;
use crate::refusal::Checked;
use crate::refusal::Refusal;

/// Documented beside `custom_data` and shown inside it: taken in both places.
pub(super) const SEGMENTS: Shape = Shape::OneOf(&[
    "new_customer_to_business",
    "new_customer_to_business_line",
    "new_customer_to_product_area",
    "new_customer_to_medium",
    "existing_customer_to_business",
    "existing_customer_to_business_line",
    "existing_customer_to_product_area",
    "existing_customer_to_medium",
    "customer_in_loyalty_program",
]);

const DELIVERY: Shape = Shape::OneOf(&["in_store", "curbside", "home_delivery"]);

const KEYS: &[(&str, Shape)] = &[
    ("predicted_ltv", Shape::Number),
    ("net_revenue", Shape::Number),
    ("content_ids", Shape::Texts),
    ("content_type", Shape::OneOf(&["product", "product_group"])),
    ("content_name", Shape::Text),
    ("content_category", Shape::Text),
    ("contents", Shape::Objects),
    // These three are meant for one event name each; no refusal of others is on record.
    ("num_items", Shape::Count),
    ("search_string", Shape::Text),
    ("status", Shape::Text),
    ("order_id", Shape::Text),
    ("item_number", Shape::Text),
    ("delivery_category", DELIVERY),
    ("customer_segmentation", SEGMENTS),
    ("event_source", Shape::Text),
    ("lead_event_source", Shape::Text),
    ("store_data", Shape::Object),
];

const ITEM_KEYS: &[(&str, Shape)] = &[
    ("id", Shape::Text),
    // A number in the documentation, text by its declaration in the vendor's SDK.
    ("quantity", Shape::CountOrDigits),
    ("item_price", Shape::Number),
    ("price", Shape::Number),
    ("delivery_category", DELIVERY),
    ("title", Shape::Text),
    ("description", Shape::Text),
    ("brand", Shape::Text),
    ("category", Shape::Text),
];

const STORE_KEYS: &[(&str, Shape)] = &[
    ("store_page_id", Shape::TextOrWhole),
    ("brand_page_id", Shape::TextOrWhole),
    ("store_code", Shape::TextOrWhole),
];

/// ISO 4217, the codes of money in use as of 2026-11: neither funds, metals and codes for tests nor
/// withdrawn money. VED is in the list beside VES.
pub(crate) const CURRENCIES: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB \
    BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB \
    EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD \
    JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP \
    MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON \
    RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP \
    TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG";

/// Judges `custom_data`, which most events may leave out; answers the money in it.
pub(super) fn check(
    custom: Option<Fields<'_>>,
    source: &str,
    name: &str,
) -> Checked<Option<(String, Decimal)>> {
    let nothing = Object::new();
    let custom = custom.unwrap_or(Fields::new(&nothing, "custom_data."));
    let money = check_money(custom, name)?;
    custom.conform_open(KEYS)?;
    if let Some(contents) = custom.value("contents").and_then(|contents| contents.as_array()) {
        for item in contents.iter().filter_map(|item| item.as_object()) {
            let item = Fields::new(item, "custom_data.contents.");
            item.conform_open(ITEM_KEYS)?;
            item.require(&["id"], "is required for each item")?;
        }
    }
    if let Some(store) = custom.object("store_data", "custom_data.store_data.") {
        store.conform(STORE_KEYS)?;
    }
    if custom.text("event_source") == Some("crm") {
        custom.require(&["lead_event_source"], "is required for events of a CRM")?;
        if source != "system_generated" {
            let rule = "must be system_generated for events of a CRM";
            return Err(Refusal::invalid("action_source", rule));
        }
    }
    Ok(money)
}

/// Currency before value: of a purchase without either, the platform names the currency.
fn check_money(custom: Fields<'_>, name: &str) -> Checked<Option<(String, Decimal)>> {
    let is_purchase = name == "Purchase";
    let is_missing = |key| match custom.value(key) {
        None | Some(Value::Null) => true,
        Some(value) => value.as_str().is_some_and(|text| text.trim().is_empty()),
    };
    if is_purchase && is_missing("currency") {
        return Err(custom.refuse_as(2_804_010, "currency", "is required for a purchase"));
    }
    if is_purchase && is_missing("value") {
        return Err(custom.refuse_as(2_804_009, "value", "is required for a purchase"));
    }
    custom.conform_open(&[("currency", Shape::Text), ("value", Shape::Number)])?;
    // The platform takes both cases.
    let currency = custom.text("currency").map(str::to_ascii_uppercase);
    let is_known = |code: &String| CURRENCIES.split(' ').any(|known| known == code);
    if !currency.as_ref().is_none_or(is_known) {
        return Err(custom.refuse("currency", "must be a current ISO 4217 code"));
    }
    let value = custom.number("value").map(|number| {
        Decimal::parse(&number.to_string()).ok_or_else(|| custom.refuse("value", "is out of range"))
    });
    Ok(currency.zip(value.transpose()?))
}
