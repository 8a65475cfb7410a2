//! Owns Meta's refusals: the codes and what only the log knows.

/// Why a request is not accepted: what the sender gets to see, and what only the log knows.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: i32,
    pub(super) subcode: Option<i32>,
    pub(super) message: String,
    /// Why, for the people who read the answer and for the log.
    pub(super) rule: Option<String>,
    pub(super) transient: bool,
    /// Position of the culprit in `data`. The platform does not tell, so neither does the answer.
    pub(super) at: Option<usize>,
    pub(super) field: Option<String>,
}

impl Refusal {
    /// An invalid parameter (code 100): names the field and the rule, never the value.
    pub(super) fn invalid(field: impl Into<String>, rule: &str) -> Self {
        let field = field.into();
        Self {
            status: 400,
            code: 100,
            subcode: None,
            message: "Invalid parameter".to_owned(),
            rule: Some(rule.to_owned()),
            transient: false,
            at: None,
            field: Some(field),
        }
    }

    /// An invalid parameter that the platform has a subcode for.
    pub(super) fn coded(subcode: i32, field: impl Into<String>, rule: &str) -> Self {
        Self { subcode: Some(subcode), ..Self::invalid(field, rule) }
    }

    /// A failure that is not about one parameter.
    pub(super) fn plain(status: u16, code: i32, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            subcode: None,
            message: message.into(),
            rule: None,
            transient: false,
            at: None,
            field: None,
        }
    }

    /// No token, or one that is not ours: 401 with code 190 and no subcode.
    pub(super) fn token() -> Self {
        Self::plain(401, 190, "Invalid OAuth access token - Cannot parse access token")
    }

    /// A path that does not exist, such as a mistyped version.
    pub(super) fn unknown_path() -> Self {
        Self::plain(400, 2500, "Unknown path components")
    }

    /// A version that existed once. Everything sent to it fails.
    pub(super) fn retired_version(newest: &str) -> Self {
        Self::plain(
            400,
            2635,
            format!(
                "(#2635) You are calling a deprecated version of the Ads API. Please update to \
                 the latest version: {newest}."
            ),
        )
    }

    /// An object id that is wrong, or not visible to this token.
    pub(super) fn unknown_object() -> Self {
        let mut refusal = Self::plain(
            400,
            100,
            "Unsupported post request. Object with this ID does not exist, cannot be loaded due \
             to missing permissions, or does not support this operation",
        );
        refusal.subcode = Some(33);
        refusal
    }

    /// Notes which event was at fault.
    pub(super) fn at(mut self, index: usize) -> Self {
        self.at = Some(index);
        self
    }
}

/// What was checked, or why it is refused.
pub(crate) type Checked<T> = Result<T, Refusal>;
