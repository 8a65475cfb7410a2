//! Owns how an error is put: the texts for people in their language, and the form of its details.
//!
//! The platform writes `error_user_title` and `error_user_msg` in the language of the token's owner,
//! and `error_data` as an object or as JSON within a text. A sender must depend on neither.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::refusal::Refusal;

/// Language of the texts for people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// French.
    Fr,
    /// Danish.
    Da,
}

/// Form of `error_data`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum ErrorData {
    /// A JSON object.
    #[default]
    Object,
    /// The same object as JSON within a text.
    Text,
    /// None at all.
    None,
}

/// How an error is put.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wording {
    pub(super) language: Language,
    pub(super) error_data: ErrorData,
}

impl Wording {
    /// The error body.
    pub(super) fn body(self, refusal: &Refusal, trace: &str) -> Value {
        let mut error = json!({
            "message": refusal.message,
            "type": "OAuthException",
            "code": refusal.code,
            "is_transient": refusal.transient,
            "fbtrace_id": trace,
        });
        if let Some(subcode) = refusal.subcode {
            error["error_subcode"] = subcode.into();
        }
        if let Some((title, message)) = self.texts(refusal) {
            error["error_user_title"] = title.into();
            error["error_user_msg"] = message.into();
        }
        if let Some(details) = self.details(refusal) {
            error["error_data"] = details;
        }
        json!({ "error": error })
    }

    /// The title and the text for people about one field.
    pub(super) fn texts(self, refusal: &Refusal) -> Option<(String, String)> {
        let (field, rule) = (refusal.field.as_deref()?, refusal.rule.as_deref()?);
        let [en, fr, da] = title(refusal.subcode);
        Some(match self.language {
            Language::En => (en.to_owned(), format!("{field}: {rule}")),
            Language::Fr => (fr.to_owned(), format!("La valeur du champ {field} est refusée.")),
            Language::Da => (da.to_owned(), format!("Værdien i feltet {field} afvises.")),
        })
    }

    /// The details that name the field to blame, as a list of paths.
    pub(super) fn details(self, refusal: &Refusal) -> Option<Value> {
        // The body as a whole is no field, and the position of the event is not told.
        let field = refusal.field.as_deref().filter(|field| *field != "body")?;
        let inside = refusal.at.map(|_| "data").into_iter();
        let path: Vec<&str> = inside.chain(field.split('.')).collect();
        let details = json!({ "blame_field_specs": [path] });
        match self.error_data {
            ErrorData::Object => Some(details),
            ErrorData::Text => Some(details.to_string().into()),
            ErrorData::None => None,
        }
    }
}

fn title(subcode: Option<i32>) -> [&'static str; 3] {
    match subcode {
        Some(2_804_001) => ["Invalid Click ID", "ID de clic non valide", "Ugyldigt klik-id"],
        Some(2_804_003) => ["Event Too Old", "Évènement trop ancien", "Hændelsen er for gammel"],
        Some(2_804_009) => ["Missing Value", "Valeur manquante", "Værdi mangler"],
        Some(2_804_010) => ["Missing Currency", "Devise manquante", "Valuta mangler"],
        Some(2_804_016) => {
            ["Information Not Hashed", "Informations non hachées", "Oplysninger er ikke hashet"]
        }
        Some(2_804_043) => {
            ["Missing OS Version", "Version de l’OS manquante", "OS-version mangler"]
        }
        Some(2_804_050) => [
            "Too Little Customer Information",
            "Infos client insuffisantes",
            "For få kundeoplysninger",
        ],
        Some(2_804_063) => ["Missing Channel", "Canal manquant", "Kanal mangler"],
        Some(2_804_066) => {
            ["Event Not Allowed", "Évènement non autorisé", "Hændelsen er ikke tilladt"]
        }
        Some(2_804_072) => {
            ["Page Does Not Match", "La Page ne correspond pas", "Siden passer ikke"]
        }
        _ => ["Invalid Parameter", "Paramètre non valide", "Ugyldig parameter"],
    }
}
