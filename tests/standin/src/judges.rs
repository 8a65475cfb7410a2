//! Owns who judges for which platform.

use super::call::{Call, Failure, Reply};
use super::platform::Platform;
use super::state::Standin;
use super::{ga4, google, linkedin, oauth, pinterest, reddit, snapchat, tiktok, webhook};

/// Judges one request.
pub(super) fn judge(state: &Standin, call: &Call) -> Reply {
    match call.platform {
        Platform::GoogleAds => google::judge(state, call),
        Platform::GoogleOauth | Platform::LinkedinOauth => oauth::judge(state, call),
        Platform::Ga4 => ga4::judge(state, call),
        Platform::Tiktok => tiktok::judge(state, call),
        Platform::Webhook => webhook::judge(state, call),
        Platform::Pinterest => pinterest::judge(state, call),
        Platform::Snapchat => snapchat::judge(state, call),
        Platform::Reddit => reddit::judge(state, call),
        Platform::Linkedin => linkedin::judge(state, call),
        // Meta has its own edge, with encodings and wordings that nobody else has.
        Platform::Meta => fail(Failure::NotFound, call),
    }
}

/// Puts a failure as the platform puts it.
pub(super) fn fail(failure: Failure, call: &Call) -> Reply {
    match call.platform {
        Platform::GoogleAds => google::fail(failure, call),
        Platform::GoogleOauth | Platform::LinkedinOauth => oauth::fail(failure),
        Platform::Ga4 => ga4::fail(failure),
        Platform::Tiktok => tiktok::fail(failure, call),
        Platform::Webhook | Platform::Meta => webhook::fail(failure),
        Platform::Pinterest => pinterest::fail(failure),
        Platform::Snapchat => snapchat::fail(failure),
        Platform::Reddit => reddit::fail(failure),
        Platform::Linkedin => linkedin::fail(failure),
    }
}
