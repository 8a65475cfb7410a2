//! The SQL surface, inside Postgres: nulls, errors, volatility, rights. The rules themselves are
//! tested in `capi-core`.

use pgrx::prelude::*;

#[pg_schema]
mod tests {
    use pgrx::pg_sys::panic::CaughtError;
    use pgrx::prelude::*;

    fn one(query: &str) -> Option<String> {
        Spi::get_one::<String>(query).expect(query)
    }

    /// Message and hint of the error that a statement raises.
    fn error(query: &str) -> (String, String) {
        let query = query.to_owned();
        PgTryBuilder::new(move || {
            Spi::run(&query).expect("SPI");
            panic!("{query} raised no error")
        })
        .catch_when(PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE, |caught| match caught {
            CaughtError::PostgresError(e) | CaughtError::ErrorReport(e) => {
                (e.message().to_owned(), e.hint().unwrap_or_default().to_owned())
            }
            CaughtError::RustPanic { .. } => panic!("a panic instead of an error"),
        })
        .execute()
    }

    #[pg_test]
    fn normalizes_and_digests() {
        assert_eq!(
            one("select capi.normalize('email', ' John_Smith@Gmail.com ')").as_deref(),
            Some("john_smith@gmail.com")
        );
        assert_eq!(
            one("select capi.digest('email', ' John_Smith@Gmail.com ')").as_deref(),
            Some("62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f")
        );
        assert_eq!(
            one("select capi.normalize('phone', '0612345678', platform => 'tiktok', country => 'FR')")
                .as_deref(),
            Some("+33612345678")
        );
    }

    #[pg_test]
    fn null_in_null_out_and_a_dropped_value_is_null() {
        for query in [
            "select capi.normalize(null, 'x')",
            "select capi.normalize('email', null)",
            "select capi.digest('email', 'a@example.com', platform => null)",
            "select capi.digest('email', 'n/a')",
            "select capi.digest('email', '')",
        ] {
            assert_eq!(one(query), None, "{query}");
        }
    }

    #[pg_test]
    fn wrong_arguments_name_the_way_out_and_not_the_value() {
        for (query, message, hint) in [
            (
                "select capi.digest('emial', 'jane@example.com')",
                "unknown field",
                "Did you mean email?",
            ),
            (
                "select capi.digest('value', 'secret')",
                "takes this field in clear",
                "capi.normalize",
            ),
            (
                "select capi.digest('email', 'jane@example.com', 'metta')",
                "unknown platform",
                "meta",
            ),
            (
                "select capi.digest('phone', '1', country => 'Atlantis')",
                "unknown country",
                "ISO 3166-1",
            ),
            ("select capi._check_settings('meta', '{}')", "pixel_id", "capi.platform"),
            ("select capi._check_settings('mega', '{}')", "unknown platform", "platform"),
        ] {
            let (got, way_out) = error(query);
            assert!(got.contains(message), "{query}: {got}");
            assert!(way_out.contains(hint), "{query}: {way_out}");
            for value in ["jane", "secret", "Atlantis"] {
                assert!(!got.contains(value) && !way_out.contains(value), "{query}: {got}");
            }
        }
    }

    #[pg_test]
    fn rules_are_immutable_and_parallel_safe() {
        let wrong = one(
            "select string_agg(proname, ', ') from pg_proc
            where pronamespace = 'capi'::regnamespace and proname in ('normalize', 'digest', 'explain', '_fields')
                and (provolatile <> 'i' or proparallel <> 's')",
        );
        assert_eq!(wrong, None);
    }

    #[pg_test]
    fn every_field_is_listed_once() {
        let n =
            Spi::get_one::<i64>("select count(distinct name) from capi._fields()").expect("count");
        assert_eq!(n, Some(i64::try_from(capi_core::field::FIELDS.len()).expect("few")));
    }

    #[pg_test]
    fn the_script_makes_functions_only() {
        let others = one("select string_agg(classid::regclass::text, ', ') from pg_depend d
            join pg_extension e on e.oid = d.refobjid and d.refclassid = 'pg_extension'::regclass
            where d.deptype = 'e' and e.extname = 'pg_capi' and classid <> 'pg_proc'::regclass
                and d.objid <> 'tests'::regnamespace");
        assert_eq!(others, None);
    }

    #[pg_test]
    fn set_up_makes_everything_and_again_changes_nothing() {
        Spi::run("select capi.setup(instance => 'test')").expect("first");
        let catalog = "select md5(string_agg(o, ',' order by o)) from (
            select oid::regclass::text || relowner::regrole || coalesce(relacl::text, '') from pg_class where relnamespace = 'capi'::regnamespace
            union all
            select oid::regprocedure::text || proowner::regrole || coalesce(proacl::text, '') || prosrc from pg_proc
            where pronamespace = 'capi'::regnamespace) x (o)";
        let first = one(catalog);
        Spi::run("select capi.setup()").expect("second");
        assert_eq!(one(catalog), first);
        assert_eq!(one("select instance from capi.installation").as_deref(), Some("test"));
    }

    #[pg_test]
    fn no_definer_belongs_to_a_superuser() {
        Spi::run("select capi.setup()").expect("set-up");
        let wrong = one("select string_agg(oid::regprocedure::text, ', ') from pg_proc
            where pronamespace = 'capi'::regnamespace and prosecdef
                and (proowner <> 'capi_owner'::regrole or proconfig is null)");
        assert_eq!(wrong, None);
    }

    #[pg_test]
    fn the_public_may_execute_what_triggers_need_and_nothing_else() {
        Spi::run("select capi.setup()").expect("set-up");
        let public = one("select string_agg(distinct proname, ', ') from pg_proc p
            cross join aclexplode(coalesce(proacl, acldefault('f', proowner))) a
            where pronamespace = 'capi'::regnamespace and a.grantee = 0");
        assert_eq!(public.as_deref(), Some("_capture, _note"));
    }
}
