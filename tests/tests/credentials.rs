//! Whoever manages destinations names credential and endpoint in the database, and gets at nothing
//! that the sidecar's configuration does not list, nor to any host that it does not.

use capi_tests::patience::eventually;
use capi_tests::platform::{Platform, TOKEN};
use capi_tests::shop::{CREDENTIAL, DESTINATION, buy, customer, sending_shop, until_settled};
use capi_tests::sidecar::{Sidecar, capi};

/// What no destination may get at.
const SECRET: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY";

#[tokio::test]
async fn a_variable_that_is_not_declared_goes_nowhere() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    shop.run(&format!(
        "select capi.alter_destination('{DESTINATION}', credential => 'AWS_SECRET_ACCESS_KEY')"
    ))
    .await;
    let c = customer(&shop).await;
    let variables = [
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("CAPI_CREDENTIALS", CREDENTIAL),
        ("CAPI_LOG", "trace"),
    ];
    let sidecar = Sidecar::start_with(&shop, &variables);
    buy(&shop, c).await;
    let line = "add the table [credentials.AWS_SECRET_ACCESS_KEY]";
    sidecar.until_logged(line).await;
    assert!(!sidecar.log().contains(SECRET));
    let url = shop.url("capi");
    let variables = [variables[0], variables[1], ("CAPI_DATABASE_URL", url.as_str())];
    let report = capi(&["check"], &variables).await;
    assert_eq!(report.status.code(), Some(1));
    let report = String::from_utf8_lossy(&report.stdout).into_owned();
    assert!(report.contains(line) && !report.contains(SECRET), "{report}");
    assert_eq!(platform.number("requests"), 0);
    assert_eq!(shop.get("select count(*) from capi.attempt").await, "0");
    shop.run(&format!(
        "select capi.alter_destination('{DESTINATION}', credential => '{CREDENTIAL}')"
    ))
    .await;
    until_settled(&shop, 20).await;
}

#[tokio::test]
async fn a_credential_goes_to_no_host_that_is_not_listed() {
    let own = Platform::start().await;
    let shop = sending_shop(&own).await;
    let c = customer(&shop).await;
    // What whoever manages destinations may choose; only the first is listed.
    let other = Platform::start().await;
    let listed = own.endpoint().trim_start_matches("http://").to_owned();
    let variables = [("CAPI_ENDPOINTS", listed.as_str())];
    let sidecar = Sidecar::start_with(&shop, &variables);
    buy(&shop, c).await;
    until_settled(&shop, 20).await;
    let move_to = async |endpoint: &str| {
        shop.run(&format!(
            "select capi.alter_destination('{DESTINATION}', settings =>
                jsonb_build_object('pixel_id', '1234567890', 'endpoint', '{endpoint}'))"
        ))
        .await;
    };
    move_to(other.endpoint()).await;
    buy(&shop, c).await;
    let place = other.endpoint().trim_start_matches("http://").to_owned();
    sidecar.until_logged(&format!("{CREDENTIAL} may not go to {place}")).await;
    assert_eq!(other.number("requests"), 0);
    assert!(!sidecar.log().contains(TOKEN));
    eventually("the event waits", 10, async || {
        let seen = shop.get("select status from capi.delivery order by event desc limit 1").await;
        if seen == "pending" { Ok(()) } else { Err(seen) }
    })
    .await;
    move_to(own.endpoint()).await;
    until_settled(&shop, 20).await;
    assert_eq!(other.number("requests"), 0);
}
