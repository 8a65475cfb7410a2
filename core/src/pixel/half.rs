//! What a platform wants on the page, or why it wants nothing.

use super::script::Call;
use super::tag::Tag;
use crate::event::Event;

/// Makes a platform's half of an event.
pub(crate) type Build = fn(&Event, &Tag) -> Result<Half, Silent>;

/// Why nothing is fired, in a word.
pub(crate) type Silent = &'static str;

/// What a platform wants on the page.
pub(crate) struct Half {
    /// JavaScript of this program's own, where `w` is the window: lets calls wait for the script.
    pub(crate) stub: String,
    /// Public address of the vendor's script.
    pub(crate) loader: &'static str,
    /// What its address ends with, behind `?`.
    pub(crate) query: Option<String>,
    /// Calls that come with the vendor's script only.
    pub(crate) base: Vec<Call>,
    /// The calls.
    pub(crate) calls: Vec<Call>,
}
