//! pg_capi
