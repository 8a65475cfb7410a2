//! capi-tests
