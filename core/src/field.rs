//! The standard fields: names of conversion view columns, what each means and what becomes of it.

/// What a column of this field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Free text.
    Text,
    /// `timestamptz`.
    Timestamp,
    /// A decimal number.
    Number,
    /// A whole number.
    Integer,
    /// A boolean.
    Boolean,
    /// JSON, or an array.
    Json,
    /// A date.
    Date,
    /// Consent: a boolean, a word, or JSON by platform.
    Consent,
    /// A personal identifier, one or several.
    Identifier,
}

impl Kind {
    /// The word in `capi.field`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Timestamp => "timestamp",
            Self::Number => "number",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Json => "json",
            Self::Date => "date",
            Self::Consent => "consent",
            Self::Identifier => "identifier",
        }
    }
}

/// What becomes of a field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A column of the outbox of its own.
    Event,
    /// Decides, and is not stored.
    Control,
    /// Stored as digests only.
    Digest,
    /// Stored in clear, because platforms take it only so; hidden from analysts.
    Clear,
    /// Stored in clear; says nothing of a person.
    Fact,
}

impl Class {
    /// The word in `capi.field`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Control => "control",
            Self::Digest => "digest",
            Self::Clear => "clear",
            Self::Fact => "fact",
        }
    }
}

/// One standard field.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Column name in a conversion view.
    pub name: &'static str,
    /// What the column holds.
    pub kind: Kind,
    /// What becomes of it.
    pub class: Class,
    /// Whether a conversion view must have it.
    pub required: bool,
    /// Platforms whose match rate or accounting suffers without it.
    pub recommended: &'static [&'static str],
    /// Platforms that take it; a webhook takes whatever the outbox holds.
    pub platforms: &'static [&'static str],
    /// One sentence.
    pub meaning: &'static str,
}

const META: &[&str] = &["meta"];

/// Every platform that can be sent to, for what each of them takes.
const ALL: &[&str] = &[
    "meta",
    "google_ads",
    "ga4",
    "tiktok",
    "pinterest",
    "snapchat",
    "reddit",
    "linkedin",
    "webhook",
];

const NONE: &[&str] = &[];

const fn field(
    name: &'static str,
    kind: Kind,
    class: Class,
    platforms: &'static [&'static str],
    meaning: &'static str,
) -> Field {
    Field { name, kind, class, required: false, recommended: NONE, platforms, meaning }
}

const fn required(f: Field) -> Field {
    Field { required: true, ..f }
}

const fn recommended(f: Field) -> Field {
    Field { recommended: f.platforms, ..f }
}

/// Every standard field, in the order of documentation.
pub const FIELDS: &[Field] = &[
    required(field(
        "event_name",
        Kind::Text,
        Class::Event,
        ALL,
        "Standard or custom event name, case-sensitive, e.g. Purchase or Lead.",
    )),
    required(field(
        "event_id",
        Kind::Text,
        Class::Event,
        ALL,
        "The id that the pixel sends too, unique per event name: platforms drop duplicates by it.",
    )),
    required(field(
        "event_time",
        Kind::Timestamp,
        Class::Event,
        ALL,
        "When the conversion happened: business time with time zone, never the time of sending.",
    )),
    required(field(
        "action_source",
        Kind::Text,
        Class::Event,
        ALL,
        "Where it happened: website, app, email, phone_call, chat, physical_store, system_generated, business_messaging or other.",
    )),
    required(field(
        "consent",
        Kind::Consent,
        Class::Control,
        ALL,
        "Whether the customer allows the use: true, false, null for not yet known, or JSON by platform; track with consent => 'not_required' to go without.",
    )),
    recommended(field(
        "value",
        Kind::Number,
        Class::Event,
        ALL,
        "Amount in major units of the currency; a Purchase needs it.",
    )),
    recommended(field(
        "currency",
        Kind::Text,
        Class::Event,
        ALL,
        "ISO 4217 code of the amount; a Purchase needs it and no default is ever made up.",
    )),
    recommended(field(
        "event_source_url",
        Kind::Text,
        Class::Fact,
        &["meta", "ga4", "tiktok", "pinterest", "snapchat", "reddit"],
        "Page on which it happened; events of action_source website need it.",
    )),
    field("referrer_url", Kind::Text, Class::Fact, &["meta", "ga4", "tiktok"], "The page before."),
    field(
        "messaging_channel",
        Kind::Text,
        Class::Fact,
        META,
        "whatsapp, messenger or instagram; events of action_source business_messaging need it.",
    ),
    field(
        "customer_segmentation",
        Kind::Text,
        Class::Fact,
        META,
        "new_customer_to_ or existing_customer_to_ with business, business_line, product_area or medium; or customer_in_loyalty_program.",
    ),
    recommended(field(
        "email",
        Kind::Identifier,
        Class::Digest,
        &["meta", "google_ads", "ga4", "tiktok", "pinterest", "snapchat", "reddit", "linkedin"],
        "Email address.",
    )),
    recommended(field(
        "phone",
        Kind::Identifier,
        Class::Digest,
        &["meta", "google_ads", "ga4", "tiktok", "pinterest", "snapchat", "reddit"],
        "Phone number, national or international.",
    )),
    field(
        "phone_country",
        Kind::Text,
        Class::Control,
        META,
        "Country of national phone numbers, where it is not the row's country.",
    ),
    recommended(field(
        "first_name",
        Kind::Identifier,
        Class::Digest,
        &["meta", "tiktok", "pinterest", "snapchat"],
        "Given name.",
    )),
    recommended(field(
        "last_name",
        Kind::Identifier,
        Class::Digest,
        &["meta", "tiktok", "pinterest", "snapchat"],
        "Family name.",
    )),
    field(
        "gender",
        Kind::Identifier,
        Class::Digest,
        &["meta", "pinterest", "snapchat"],
        "f, female, m or male.",
    ),
    field(
        "date_of_birth",
        Kind::Date,
        Class::Digest,
        &["meta", "pinterest"],
        "A date, or text such as 1997-02-16.",
    ),
    recommended(field(
        "city",
        Kind::Identifier,
        Class::Digest,
        &["meta", "pinterest", "snapchat"],
        "City.",
    )),
    field(
        "state",
        Kind::Identifier,
        Class::Digest,
        &["meta", "pinterest", "snapchat"],
        "State, province or region: name or code.",
    ),
    recommended(field(
        "zip",
        Kind::Identifier,
        Class::Digest,
        &["meta", "tiktok", "pinterest", "snapchat"],
        "Postal code.",
    )),
    recommended(field(
        "country",
        Kind::Identifier,
        Class::Digest,
        &["meta", "google_ads", "ga4", "tiktok", "pinterest", "snapchat", "reddit"],
        "Country: ISO 3166-1 code or English name; also tells how to read phone, state and zip.",
    )),
    recommended(field(
        "external_id",
        Kind::Identifier,
        Class::Digest,
        &["meta", "tiktok", "pinterest", "snapchat", "reddit"],
        "The shop's id of the customer, the same as the pixel sends.",
    )),
    recommended(field(
        "client_ip_address",
        Kind::Text,
        Class::Clear,
        &["meta", "tiktok", "pinterest", "snapchat", "reddit"],
        "IP address of the customer's browser.",
    )),
    recommended(field(
        "client_user_agent",
        Kind::Text,
        Class::Clear,
        &["meta", "tiktok", "pinterest", "snapchat", "reddit"],
        "User agent of the customer's browser.",
    )),
    recommended(field(
        "fbp",
        Kind::Text,
        Class::Clear,
        META,
        "Meta's browser id, the _fbp cookie.",
    )),
    recommended(field("fbc", Kind::Text, Class::Clear, META, "Meta's click id, the _fbc cookie.")),
    field(
        "fbclid",
        Kind::Text,
        Class::Control,
        META,
        "Meta's click id of a landing URL; with fbclid_at it builds an fbc.",
    ),
    field("fbclid_at", Kind::Timestamp, Class::Control, META, "When fbclid was first seen."),
    field(
        "browser",
        Kind::Json,
        Class::Control,
        META,
        "What the web request or the app held, in one object, such as capi.browser makes: ip, user_agent, fbp, fbc, fbclid, fbclid_at, app_data and the ids below; a column of its own wins.",
    ),
    field(
        "madid",
        Kind::Text,
        Class::Clear,
        &["meta", "snapchat"],
        "Advertising id of the customer's telephone: IDFA or AAID.",
    ),
    field(
        "anon_id",
        Kind::Text,
        Class::Clear,
        META,
        "Id of the app's installation; for events of action_source app.",
    ),
    field(
        "app_data",
        Kind::Json,
        Class::Clear,
        &["meta", "pinterest"],
        "Object of advertiser_tracking_enabled, application_tracking_enabled, extinfo with its 16 slots, and what else the app's SDK says; events of action_source app need it.",
    ),
    field(
        "ctwa_clid",
        Kind::Text,
        Class::Clear,
        META,
        "Click id of an ad that opens WhatsApp; messages by whatsapp need it.",
    ),
    field(
        "page_scoped_user_id",
        Kind::Text,
        Class::Clear,
        META,
        "The customer's id in Messenger; messages by messenger need it.",
    ),
    field(
        "ig_sid",
        Kind::Text,
        Class::Clear,
        META,
        "The customer's id in Instagram's messages; messages by instagram need it.",
    ),
    field(
        "page_id",
        Kind::Text,
        Class::Fact,
        META,
        "The shop's Facebook page; messages by whatsapp and messenger need it.",
    ),
    field(
        "ig_account_id",
        Kind::Text,
        Class::Fact,
        META,
        "The shop's Instagram account; messages by instagram need it.",
    ),
    field(
        "whatsapp_business_account_id",
        Kind::Text,
        Class::Fact,
        META,
        "The shop's WhatsApp Business account, beside page_id in messages by whatsapp.",
    ),
    field("ga_client_id", Kind::Text, Class::Clear, &["ga4"], "Google Analytics client id."),
    field("ga_session_id", Kind::Text, Class::Clear, &["ga4"], "Google Analytics session id."),
    field("gclid", Kind::Text, Class::Clear, &["google_ads"], "Google click id."),
    field(
        "gbraid",
        Kind::Text,
        Class::Clear,
        &["google_ads"],
        "Google click id for app campaigns.",
    ),
    field(
        "wbraid",
        Kind::Text,
        Class::Clear,
        &["google_ads"],
        "Google click id for web campaigns on iOS.",
    ),
    field("ttclid", Kind::Text, Class::Clear, &["tiktok"], "TikTok click id."),
    field("ttp", Kind::Text, Class::Clear, &["tiktok"], "TikTok browser id, the _ttp cookie."),
    field("epik", Kind::Text, Class::Clear, &["pinterest"], "Pinterest click id."),
    field("sc_click_id", Kind::Text, Class::Clear, &["snapchat"], "Snapchat click id."),
    field(
        "sc_cookie1",
        Kind::Text,
        Class::Clear,
        &["snapchat"],
        "Snapchat browser id, the _scid cookie.",
    ),
    field("li_fat_id", Kind::Text, Class::Clear, &["linkedin"], "LinkedIn click id."),
    field("rdt_cid", Kind::Text, Class::Clear, &["reddit"], "Reddit click id."),
    field(
        "rdt_uuid",
        Kind::Text,
        Class::Clear,
        &["reddit"],
        "Reddit browser id, the _rdt_uuid cookie.",
    ),
    recommended(field(
        "order_id",
        Kind::Text,
        Class::Fact,
        &["meta", "google_ads", "ga4", "tiktok", "pinterest", "snapchat"],
        "The shop's order number.",
    )),
    recommended(field(
        "contents",
        Kind::Json,
        Class::Fact,
        &["meta", "ga4", "tiktok", "pinterest", "snapchat", "reddit"],
        "Array of objects with id, quantity, item_price, and if need be title, brand, category, delivery_category.",
    )),
    field(
        "content_ids",
        Kind::Json,
        Class::Fact,
        &["meta", "tiktok", "pinterest", "snapchat"],
        "Array of product ids, as in the catalogue.",
    ),
    field(
        "content_type",
        Kind::Text,
        Class::Fact,
        &["meta", "tiktok"],
        "product or product_group.",
    ),
    field(
        "content_name",
        Kind::Text,
        Class::Fact,
        &["meta", "tiktok", "pinterest", "snapchat"],
        "Name of the page or product.",
    ),
    field(
        "content_category",
        Kind::Text,
        Class::Fact,
        &["meta", "pinterest", "snapchat"],
        "Category of the page or product.",
    ),
    field(
        "num_items",
        Kind::Integer,
        Class::Fact,
        &["meta", "pinterest", "snapchat", "reddit"],
        "Number of items.",
    ),
    field(
        "predicted_ltv",
        Kind::Number,
        Class::Fact,
        META,
        "Predicted lifetime value of the customer.",
    ),
    field("net_revenue", Kind::Number, Class::Fact, META, "Margin of the order."),
    field(
        "remaining_value",
        Kind::Number,
        Class::Fact,
        &["google_ads"],
        "What is left of the order's value after a refund, 0 after a full one; a Refund needs it.",
    ),
    field(
        "search_string",
        Kind::Text,
        Class::Fact,
        &["meta", "ga4", "tiktok", "pinterest", "snapchat"],
        "What was searched for.",
    ),
    field("status", Kind::Text, Class::Fact, META, "Status of a registration."),
    field(
        "delivery_category",
        Kind::Text,
        Class::Fact,
        META,
        "in_store, curbside or home_delivery.",
    ),
    field(
        "item_number",
        Kind::Text,
        Class::Fact,
        META,
        "Number of the sold item: with order_id it tells duplicates of physical_store apart.",
    ),
    field(
        "store_data",
        Kind::Json,
        Class::Fact,
        META,
        "Object of store_page_id, brand_page_id and store_code: which shop with a door.",
    ),
    field(
        "event_source",
        Kind::Text,
        Class::Fact,
        META,
        "The word crm, for leads of action_source system_generated.",
    ),
    field(
        "lead_event_source",
        Kind::Text,
        Class::Fact,
        META,
        "Name of the CRM that such a lead comes from.",
    ),
    field(
        "original_event",
        Kind::Json,
        Class::Fact,
        &["meta", "google_ads"],
        "Object of event_name, event_time, event_id and order_id: the event that this one amends.",
    ),
    field(
        "attribution_data",
        Kind::Json,
        Class::Clear,
        META,
        "Object of ad_id, touchpoint_ts, attribution_share, attribution_value and more; an AppendAttribution needs those.",
    ),
    field("subscription_id", Kind::Text, Class::Clear, META, "The shop's id of the subscription."),
    field("lead_id", Kind::Text, Class::Clear, META, "Meta's id of a lead, 15 to 17 digits."),
    field("fb_login_id", Kind::Text, Class::Clear, META, "App-scoped id of Facebook Login."),
    field(
        "opt_out",
        Kind::Boolean,
        Class::Fact,
        &["meta", "google_ads", "ga4", "tiktok", "pinterest", "snapchat", "reddit", "linkedin"],
        "True: for attribution only, not for optimisation.",
    ),
    field(
        "data_processing_options",
        Kind::Json,
        Class::Fact,
        &["meta", "google_ads", "ga4", "tiktok", "pinterest", "snapchat", "reddit", "linkedin"],
        "[\"LDU\"]: limited data use; [] says that it is off. Anything else is never sent.",
    ),
    field(
        "data_processing_options_country",
        Kind::Integer,
        Class::Fact,
        &["meta", "snapchat", "reddit"],
        "0 lets Meta locate, 1 is the USA and needs the state.",
    ),
    field(
        "data_processing_options_state",
        Kind::Integer,
        Class::Fact,
        &["meta", "snapchat", "reddit"],
        "0 lets Meta locate, which needs client_ip_address; else Meta's number of the state, 1000 to 1013.",
    ),
    field(
        "custom",
        Kind::Json,
        Class::Fact,
        META,
        "One object of custom properties; none may have the name of a field.",
    ),
];

/// The field of this name.
pub fn find(name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|f| f.name == name)
}

/// The field of this name or of an alias, in any case and with any punctuation: `firstName`.
pub fn named(name: &str) -> Option<&'static Field> {
    let plain = |c: &char| c.is_alphanumeric();
    let name: String = name.chars().filter(plain).flat_map(char::to_lowercase).collect();
    let is = |known: &str| known.bytes().filter(|b| *b != b'_').eq(name.bytes());
    let alias = || ALIASES.iter().find(|(other, _)| is(other)).and_then(|(_, field)| find(field));
    FIELDS.iter().find(|field| is(field.name)).or_else(alias)
}

/// The standard field that a mistyped name most likely means; `None` when nothing is near.
pub fn nearest(name: &str) -> Option<&'static str> {
    // Comparing takes as long as the text; no field is near one of this length.
    const LONGEST: usize = 200;
    let name = Some(name).filter(|name| name.len() <= LONGEST)?.to_lowercase();
    let alias = ALIASES.iter().find(|(other, _)| *other == name).map(|(_, field)| *field);
    alias.or_else(|| {
        FIELDS
            .iter()
            .map(|f| (strsim::damerau_levenshtein(f.name, &name), f.name))
            .min()
            .filter(|(distance, field)| *distance <= 1 + field.len() / 4)
            .map(|(_, field)| field)
    })
}

/// Names that shops and platforms use for the same thing.
const ALIASES: &[(&str, &str)] = &[
    ("amount", "value"),
    ("total", "value"),
    ("em", "email"),
    ("mail", "email"),
    ("email_address", "email"),
    ("ph", "phone"),
    ("telephone", "phone"),
    ("phone_number", "phone"),
    ("tel", "phone"),
    ("mobile", "phone"),
    ("mobile_number", "phone"),
    ("fn", "first_name"),
    ("given_name", "first_name"),
    ("forename", "first_name"),
    ("ln", "last_name"),
    ("surname", "last_name"),
    ("family_name", "last_name"),
    ("ct", "city"),
    ("town", "city"),
    ("st", "state"),
    ("region", "state"),
    ("province", "state"),
    ("zp", "zip"),
    ("postcode", "zip"),
    ("postal_code", "zip"),
    ("country_code", "country"),
    ("ge", "gender"),
    ("db", "date_of_birth"),
    ("birthday", "date_of_birth"),
    ("dob", "date_of_birth"),
    ("customer_id", "external_id"),
    ("user_id", "external_id"),
    ("ip", "client_ip_address"),
    ("ip_address", "client_ip_address"),
    ("user_agent", "client_user_agent"),
    ("url", "event_source_url"),
    ("source_url", "event_source_url"),
    ("items", "contents"),
    ("created_at", "event_time"),
    ("paid_at", "event_time"),
    ("order_number", "order_id"),
    ("idfa", "madid"),
    ("aaid", "madid"),
    ("gaid", "madid"),
    ("psid", "page_scoped_user_id"),
    ("waba_id", "whatsapp_business_account_id"),
    ("original_event_data", "original_event"),
    ("custom_data", "custom"),
    ("custom_properties", "custom"),
    ("crm", "lead_event_source"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_near_no_field() {
        assert_eq!(nearest("emial"), Some("email"));
        // At once: the comparison is of every letter with every other.
        assert_eq!(nearest(&"((".repeat(10_000_000)), None);
    }

    #[test]
    fn names_are_unique_and_aliases_lead_to_fields() {
        for (i, f) in FIELDS.iter().enumerate() {
            assert!(FIELDS[..i].iter().all(|g| g.name != f.name), "{} twice", f.name);
            assert!(f.meaning.ends_with('.'), "{}", f.name);
        }
        for (alias, name) in ALIASES {
            assert!(find(name).is_some(), "{name}");
            assert!(find(alias).is_none(), "{alias} is a field itself");
        }
    }

    #[test]
    fn finds_what_was_meant() {
        for (typed, meant) in [
            ("emial", "email"),
            ("curency", "currency"),
            ("postcode", "zip"),
            ("event_nam", "event_name"),
        ] {
            assert_eq!(nearest(typed), Some(meant));
        }
        assert_eq!(nearest("xyzzy_plugh"), None);
        for (name, meant) in [("E-Mail", "email"), ("firstName", "first_name"), ("EM", "email")] {
            assert_eq!(named(name).map(|field| field.name), Some(meant));
        }
        assert_eq!(named("").map(|field| field.name), None);
    }
}
