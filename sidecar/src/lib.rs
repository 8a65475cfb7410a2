//! capi-sidecar
