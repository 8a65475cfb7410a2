"""Posts events that Meta's own SDK builds to the stand-in.

Each case builds one request with the SDK's serverside classes and sends it as the SDK sends it. What
the SDK builds from sensible input must be accepted, and must arrive as it was built; what is known
to be wrong must be refused with the documented code, as the SDK reads it from the answer. Usage:
events.py BASE_URL TOKEN. The last line on stdout has the counts.
"""

import asyncio
import json
import os
import sys
import time
from urllib.request import Request, urlopen

# A proxy has no business between this script and loopback; requests and aiohttp read these.
for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
    os.environ.pop(name, None)

import requests
from facebook_business.adobjects.serverside.action_source import ActionSource
from facebook_business.adobjects.serverside.app_data import AppData
from facebook_business.adobjects.serverside.attribution_data import AttributionData
from facebook_business.adobjects.serverside.attribution_setting import AttributionSetting
from facebook_business.adobjects.serverside.content import Content
from facebook_business.adobjects.serverside.custom_data import CustomData
from facebook_business.adobjects.serverside.delivery_category import DeliveryCategory
from facebook_business.adobjects.serverside.event import Event
from facebook_business.adobjects.serverside.event_request import EventRequest
from facebook_business.adobjects.serverside.event_request_async import EventRequestAsync
from facebook_business.adobjects.serverside.extended_device_info import ExtendedDeviceInfo
from facebook_business.adobjects.serverside.gender import Gender
from facebook_business.adobjects.serverside.http_service_interface import HttpServiceInterface
from facebook_business.adobjects.serverside.messaging_channel import MessagingChannel
from facebook_business.adobjects.serverside.original_event_data import OriginalEventData
from facebook_business.adobjects.serverside.user_data import UserData
from facebook_business.api import FacebookAdsApi
from facebook_business.exceptions import FacebookRequestError
from facebook_business.session import FacebookSession

BASE, TOKEN = sys.argv[1], sys.argv[2]
PIXEL = "1234567890"
DAY = 86400
NOW = int(time.time())


def control(path, order=None):
    """Calls the stand-in's control API."""
    body = None if order is None else json.dumps(order).encode()
    headers = {"content-type": "application/json"}
    with urlopen(Request(BASE + path, data=body, headers=headers)) as answer:
        return json.load(answer)


# What the events are made of.


def person(**more):
    return UserData(email="Jo.Doe@Example.com", phone="+1 (650) 555-0100", **more)


def event(name, source=ActionSource.WEBSITE, user_data=None, **more):
    if source is ActionSource.WEBSITE:
        more.setdefault("event_source_url", "https://shop.example.com/checkout?a=b")
    more.setdefault("event_time", NOW - 60)
    more.setdefault("event_id", f"{name}-{source.value}-{time.monotonic_ns()}")
    user_data = user_data if user_data is not None else person()
    return Event(event_name=name, action_source=source, user_data=user_data, **more)


def money(**more):
    more = {"value": 12.5, "currency": "EUR", **more}
    return CustomData(**{key: value for key, value in more.items() if value is not None})


def purchase(**more):
    more.setdefault("custom_data", money())
    return event("Purchase", **more)


def device(**more):
    more = {"ext_info_version": "i2", "os_version": "17.5.1", **more}
    return AppData(
        advertiser_tracking_enabled=True,
        application_tracking_enabled=False,
        extinfo=ExtendedDeviceInfo(**more),
    )


def conversation(name="Purchase", channel=MessagingChannel.WHATSAPP, **more):
    more.setdefault("user_data", UserData(page_id="7", ctwa_clid="ARAkLkA8rmlFeiCktEJQ"))
    more.setdefault("custom_data", money())
    return event(name, ActionSource.BUSINESS_MESSAGING, messaging_channel=channel, **more)


def appended(original_time=NOW - 3600, **more):
    more = {"ad_id": "120", "attribution_value": 6.25, "attribution_share": 0.5, **more}
    return event(
        "AppendAttribution",
        original_event_data=OriginalEventData(
            event_name="Purchase", event_time=original_time, order_id="1", event_id="order-1"
        ),
        attribution_data=AttributionData(touchpoint_ts=NOW - 7200, **more),
    )


def everything_known():
    ms = (NOW - 3600) * 1000
    return UserData(
        emails=["a@example.com", "b@example.com"],
        phones=["+44 20 7946 0958"],
        genders=[Gender.FEMALE],
        dates_of_birth=["19970216"],
        last_names=["O'Brien"],
        first_names=["Valéry"],
        cities=["São Paulo"],
        states=["California"],
        country_codes=["us"],
        zip_codes=["94105-1234"],
        external_ids=["user-42", "42"],
        client_ip_address="2001:db8::7",
        client_user_agent="Mozilla/5.0 (X11; Linux x86_64)",
        fbc=f"fb.1.{ms}.IwAR2F4-dbP0l7Mn1IawQQGCINEz7PYXQvwjNwB_qa2ofrHyiLjcbCRxTDMgk",
        fbp=f"fb.1.{ms}.2147483646",
        subscription_id="sub-1",
        fb_login_id="1234567890",
        lead_id="1234567890123456",
        f5first="Valér",
        f5last="O'Bri",
        fi="V",
        dobd="16",
        dobm="2",
        doby="1997",
        madid="38400000-8cf0-11bd-b23e-10b96e40000d",
        anon_id="anon-1",
    )


def from_a_browser_s_request(event_time=NOW):
    """The parameter builder fills click, browser, page and referrer from a web request."""
    built = Event(
        event_name="PageView",
        event_time=event_time,
        action_source=ActionSource.WEBSITE,
        user_data=UserData(client_ip_address="203.0.113.7", client_user_agent="B"),
    )
    return built.set_request_context(
        {
            "REQUEST_METHOD": "GET",
            "HTTP_HOST": "shop.example.com",
            "SERVER_NAME": "shop.example.com",
            "SERVER_PORT": "443",
            "PATH_INFO": "/sale",
            "QUERY_STRING": "fbclid=IwAR2F4-dbP0l7Mn1IawQQGCINEz7PYXQvwjNwB_qa2o",
            "HTTP_REFERER": "https://search.example.org/",
            "HTTP_COOKIE": f"_fbp=fb.1.{(NOW - DAY) * 1000}.1098115397",
            "REMOTE_ADDR": "203.0.113.7",
            "wsgi.url_scheme": "https",
        }
    )


def limited(options, country=None, state=None, address="203.0.113.7"):
    place = {
        "data_processing_options_country": country,
        "data_processing_options_state": state,
    }
    place = {key: value for key, value in place.items() if value is not None}
    user = person(client_ip_address=address) if address else person()
    return event("Lead", user_data=user, data_processing_options=options, **place)


ACCEPTED = {
    "website, all user data": lambda: purchase(user_data=everything_known()),
    "website, contents": lambda: purchase(
        custom_data=money(
            order_id="7",
            num_items=3,
            net_revenue=2.5,
            predicted_ltv=100.0,
            content_name="Basket",
            content_category="Food",
            content_type="product",
            content_ids=["a", "b"],
            contents=[
                Content(
                    product_id="a",
                    quantity=2,
                    item_price=5.0,
                    title="Apple",
                    description="Red",
                    brand="Orchard",
                    category="Fruit",
                    delivery_category=DeliveryCategory.HOME_DELIVERY,
                ),
                # The SDK declares text.
                Content(product_id="b", quantity="1"),
            ],
            delivery_category=DeliveryCategory.CURBSIDE,
        )
    ),
    "website, no custom data": lambda: event("PageView"),
    "website, filled by the parameter builder": from_a_browser_s_request,
    # Its click id is then later than the event.
    "website, filled for an older event": lambda: from_a_browser_s_request(NOW - 600),
    "website, page and referrer": lambda: event(
        "ViewContent", referrer_url="https://search.example.org/", opt_out=True
    ),
    "website, free of charge": lambda: purchase(custom_data=money(value=0.0, currency="usd")),
    "website, hashed beforehand": lambda: event(
        "Lead", user_data=UserData(email=UserData(email="a@b.co").normalize()["em"][0].upper())
    ),
    "email": lambda: event("Contact", ActionSource.EMAIL),
    "app": lambda: event("AddToCart", ActionSource.APP, app_data=device(), custom_data=money()),
    "app, all app data": lambda: event(
        "Purchase",
        ActionSource.APP,
        custom_data=money(),
        user_data=UserData(anon_id="anon-1", madid="38400000-8cf0-11bd-b23e-10b96e40000d"),
        app_data=AppData(
            application_tracking_enabled=True,
            advertiser_tracking_enabled=True,
            campaign_ids="1",
            consider_views=True,
            include_dwell_data=False,
            include_video_data=False,
            install_referrer="https://example.org/",
            installer_package="com.example.store",
            receipt_data="receipt",
            url_schemes="example://",
            windows_attribution_id="w",
            extinfo=ExtendedDeviceInfo(
                ext_info_version="a2",
                app_package_name="com.example.shop",
                short_version="1.0",
                long_version="1.0 long",
                os_version="14",
                device_model_name="Phone 5",
                locale="en_US",
                timezone_abbreviation="PDT",
                carrier="Carrier",
                screen_width=1080,
                screen_height=1920,
                screen_density="2.0",
                cpu_core_count=8,
                total_disk_space_gb=64,
                free_disk_space_gb=3,
                device_time_zone="America/Los_Angeles",
            ),
        ),
    ),
    "phone call": lambda: event("Schedule", ActionSource.PHONE_CALL),
    "chat": lambda: event("Lead", ActionSource.CHAT, custom_data=CustomData(status="new")),
    "physical store, two months old": lambda: event(
        "Purchase",
        ActionSource.PHYSICAL_STORE,
        event_time=NOW - 61 * DAY,
        custom_data=money(item_number="1", delivery_category=DeliveryCategory.IN_STORE),
    ),
    "system generated": lambda: event("Subscribe", ActionSource.SYSTEM_GENERATED),
    "lead of a CRM": lambda: event(
        "Qualified",
        ActionSource.SYSTEM_GENERATED,
        user_data=UserData(lead_id="1234567890123456"),
        custom_data=CustomData(
            custom_properties={"event_source": "crm", "lead_event_source": "Some CRM"}
        ),
    ),
    "WhatsApp purchase": conversation,
    "WhatsApp lead": lambda: conversation("LeadSubmitted"),
    "other": lambda: event("Donate", ActionSource.OTHER, event_time=NOW - 6 * DAY),
    "own event, own properties": lambda: event(
        "Tasting",
        custom_data=CustomData(custom_properties={"wine": "red", "glasses": 3, "notes": ["oak"]}),
    ),
    "search": lambda: event("Search", custom_data=CustomData(search_string="apples")),
    "registration": lambda: event("CompleteRegistration", custom_data=CustomData(status="done")),
    "checkout": lambda: event("InitiateCheckout", custom_data=money(num_items=2)),
    "trial": lambda: event("StartTrial", custom_data=money(predicted_ltv=99.0)),
    "segment of customers": lambda: purchase(
        custom_data=money(
            custom_properties={"customer_segmentation": "existing_customer_to_product_area"}
        )
    ),
    "limited, located by address": lambda: limited(["LDU"], 0, 0),
    "limited, California": lambda: limited(["LDU"], 1, 1000, address=None),
    "not limited": lambda: limited([]),
    "appended attribution": lambda: appended(
        attribution_model="linear",
        attribution_setting=AttributionSetting(24, 48),
        attr_window=7,
        visit_time=NOW - 7300,
        total_credit=1.0,
        scope="click",
    ),
    "amended event": lambda: event(
        "Lead", original_event_data=OriginalEventData(event_name="Lead", order_id="1")
    ),
    "no event id": lambda: event("Lead", event_id=None),
}

REFUSED = {
    "too old": (lambda: purchase(event_time=NOW - 8 * DAY), 100, 2804003),
    "store, too old": (
        lambda: purchase(source=ActionSource.PHYSICAL_STORE, event_time=NOW - 63 * DAY),
        100,
        2804003,
    ),
    "in the future": (lambda: purchase(event_time=NOW + DAY), 100, None),
    "milliseconds": (lambda: purchase(event_time=NOW * 1000), 100, None),
    "purchase without currency": (
        lambda: purchase(custom_data=money(currency=None)),
        100,
        2804010,
    ),
    "purchase without value": (lambda: purchase(custom_data=money(value=None)), 100, 2804009),
    "purchase without anything": (lambda: event("Purchase"), 100, 2804010),
    "nobody": (lambda: event("Lead", user_data=UserData()), 100, 2804050),
    "anybody in a city": (
        lambda: event("Lead", user_data=UserData(city="Menlo Park", country_code="us")),
        100,
        2804050,
    ),
    # The SDK takes 32 hex digits for a digest and passes them through.
    "MD5": (
        lambda: event("Lead", user_data=UserData(email="d41d8cd98f00b204e9800998ecf8427e")),
        100,
        2804016,
    ),
    "click id alone": (
        lambda: event("Lead", user_data=person(fbc="IwAR2F4-dbP0l7Mn1IawQQGCINE")),
        100,
        2804001,
    ),
    "address with port": (
        lambda: event("Lead", user_data=person(client_ip_address="203.0.113.7:443")),
        100,
        None,
    ),
    "short lead id": (lambda: event("Lead", user_data=UserData(lead_id="12")), 100, None),
    "app without app data": (lambda: event("Lead", ActionSource.APP), 100, None),
    "app without system version": (
        lambda: event("Lead", ActionSource.APP, app_data=device(os_version="")),
        100,
        2804043,
    ),
    "website without address": (lambda: event("Lead", event_source_url=None), 100, None),
    "messaging without channel": (lambda: conversation(channel=None), 100, 2804063),
    "messaging with another event": (lambda: conversation("Lead"), 100, 2804066),
    "WhatsApp without click": (
        lambda: conversation(user_data=UserData(page_id="7", external_id="8")),
        100,
        None,
    ),
    "limited without place": (lambda: limited(["LDU"]), 100, None),
    "limited without address": (lambda: limited(["LDU"], 0, 0, address=None), 100, None),
    "attribution without advertisement": (lambda: appended(ad_id=None), 100, None),
    "attribution after three days": (lambda: appended(NOW - 3 * DAY), 100, None),
}

# What the SDK passes on as it got it, or makes of nonsense, and Meta may take. The stand-in refuses
# it on purpose: docs/contributing/standin.md has these rules as its own.
STRICTER = {
    # Of a city of digits nothing is left, and the SDK hashes that.
    "digest of nothing": (
        lambda: event("Lead", user_data=person(city="12345")),
        "user_data.ct",
    ),
    "blank text": (lambda: event("Lead", event_id=" "), "event_id"),
    "item number as number": (
        lambda: purchase(custom_data=money(content_ids=[7])),
        "custom_data.content_ids",
    ),
    "browser id of another kind": (
        lambda: event("Lead", user_data=person(fbp="GA1.1.123.456")),
        "user_data.fbp",
    ),
    "content type of travel": (
        lambda: event("Search", custom_data=CustomData(content_type="hotel")),
        "custom_data.content_type",
    ),
}

# What the SDK cannot put on the wire, so that nothing is learnt from it here.
UNSENDABLE = {
    # It demands the enumeration and then hands it to the JSON encoder as it is.
    "attribution method": lambda: appended(attribution_method="mir"),
    # It refuses these itself, as the stand-in does.
    "amount as text": lambda: purchase(custom_data=money(value="12.50")),
    "time as text": lambda: event("Lead", event_time=str(NOW)),
    # Its enumeration of channels has one member.
    "Messenger": lambda: conversation(channel="messenger"),
}


# How they are sent.


class OwnClient(HttpServiceInterface):
    """The SDK's hook for another HTTP client, here one that talks to a gateway."""

    def execute(self, url, method, request_options, headers, params):
        gateway = f"{BASE}/capi/{PIXEL}/events"
        params = {**params, "data": json.dumps(params["data"])}
        return requests.post(gateway, data=params, headers=headers).json()


def send_as_usual(events, **more):
    return EventRequest(pixel_id=PIXEL, events=events, **more).execute()


def send_async(events, **more):
    return asyncio.run(EventRequestAsync(pixel_id=PIXEL, events=events, **more).execute())


def send_to_gateway(events, **more):
    request = EventRequest(
        pixel_id=PIXEL,
        events=events,
        http_client=OwnClient(),
        access_token=TOKEN,
        appsecret="no-secret",
        **more,
    )
    return request.execute()


def built(event_):
    return json.loads(json.dumps(event_.normalize()))


def without_order(value):
    """Lists of identifiers have no order: the SDK makes them of sets."""
    user = value.get("user_data", {})
    lists = {key: sorted(item) for key, item in user.items() if isinstance(item, list)}
    return {**value, "user_data": {**user, **lists}}


failures = []


def check(what, holds, why=""):
    if not holds:
        failures.append(f"{what}: {why}")


def refusal(event_):
    """Sends an event and answers the error as the SDK reads it."""
    try:
        send_as_usual([event_])
    except FacebookRequestError as error:
        return error
    return None


def last_arrival():
    total = control("/_standin/events?limit=1")["total"]
    return control(f"/_standin/events?offset={total - 1}&limit=1")["events"][0]["event"]


def main():
    FacebookSession.GRAPH = BASE
    FacebookAdsApi.init(access_token=TOKEN, app_secret="no-secret", crash_log=False)
    control("/_standin/reset", {})

    sources = set()
    for what, build in ACCEPTED.items():
        event_ = build()
        try:
            answer = send_as_usual([event_])
        except FacebookRequestError as error:
            check(what, False, error.body())
            continue
        check(what, answer.events_received == 1, answer)
        arrived, sent = without_order(last_arrival()), without_order(built(event_))
        check(what, arrived == sent, f"sent {sent}, arrived {arrived}")
        sources.add(event_.action_source)
    check("action sources", sources == set(ActionSource), sources)

    everything = [build() for build in ACCEPTED.values()]
    named = {"test_event_code": "TEST1", "partner_agent": "sdk-test"}
    uploaded = {"upload_id": "1", "upload_tag": "x", "upload_source": "y", "namespace_id": "2"}
    check("batch", send_as_usual(everything, **named, **uploaded).events_received == len(everything))
    check("asynchronous", send_async(everything, **named).events_received == len(everything))
    answer = send_to_gateway(everything, **named)
    check("gateway", answer.get("events_received") == len(everything), answer)

    before = control("/_standin/summary")["events_accepted"]
    for what, (build, code, subcode) in REFUSED.items():
        error = refusal(build())
        if error is None:
            check(what, False, "was accepted")
            continue
        given = (error.api_error_code(), error.api_error_subcode())
        check(what, given == (code, subcode), f"{given}: {error.body()}")
        check(what, not error.api_transient_error(), "is transient")
        check(what, error.api_blame_field_specs(), "blames no field")
    for what, (build, field) in STRICTER.items():
        error = refusal(build())
        check(what, error is not None, "was accepted")
        if error is not None:
            blamed = error.api_blame_field_specs()
            check(what, blamed == [["data", *field.split(".")]], blamed)
    try:
        send_as_usual(everything + [purchase(custom_data=money(currency=None))])
        check("one bad event", False, "was accepted")
    except FacebookRequestError as error:
        check("one bad event", error.api_error_subcode() == 2804010, error.body())

    # The SDK reads the details of an error from a text as well.
    control("/_standin/faults", {"kind": "wording", "language": "fr", "error_data": "text", "times": 1})
    error = refusal(event("Purchase"))
    check("localised", error and error.api_error_subcode() == 2804010, error)
    check("localised", error and error.api_blame_field_specs(), error)
    control("/_standin/faults", {"kind": "foreign_page", "page_id": "7", "times": 1})
    error = refusal(conversation())
    check("foreign page", error and error.api_error_subcode() == 2804072, error)
    after = control("/_standin/summary")["events_accepted"]
    check("refused", after == before, f"{after - before} events got in")

    FacebookAdsApi.init(access_token="wrong", crash_log=False)
    error = refusal(event("Lead"))
    check("wrong token", error and error.api_error_code() == 190, error)
    check("wrong token", error and error.http_status() == 401, error)

    for what, build in UNSENDABLE.items():
        try:
            send_as_usual([build()])
            check(what, False, "can be sent by now: move it to the accepted ones")
        except TypeError:
            pass

    for failure in failures:
        print(failure, file=sys.stderr)
    refused = len(REFUSED) + 4
    print(
        f"sdk: {len(sources)} action sources, {len(ACCEPTED)} events accepted, "
        f"{refused} requests refused as documented, {len(STRICTER)} stricter on purpose, "
        f"{len(UNSENDABLE)} beyond the SDK, "
        f"{len(failures)} failures"
    )
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
