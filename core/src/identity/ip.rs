//! The client's IP address and user agent: clear by necessity, checked before they travel.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::placeholder;
use super::reason::DropReason;

/// The longest user agent, in bytes; what is longer was not sent by a browser.
const LONGEST_USER_AGENT: usize = 4096;

/// Reads a client's address: the first public one of a forwarded list, without port, prefix
/// length or zone, IPv4-mapped IPv6 unwrapped.
///
/// `203.0.113.7:443` and `203.0.113.7/32` are `203.0.113.7`; `10.0.0.1` is dropped.
pub fn client_ip(value: &str) -> Result<String, DropReason> {
    if value.trim().is_empty() {
        return Err(DropReason::Empty);
    }
    if placeholder::is_missing_id(value.trim()) {
        return Err(DropReason::Placeholder);
    }
    let mut reason = DropReason::Malformed;
    for address in value.split(',').filter_map(address) {
        if is_public(address) {
            return Ok(address.to_string());
        }
        reason = DropReason::PrivateAddress;
    }
    Err(reason)
}

/// Checks a browser's user agent: trimmed, otherwise verbatim.
pub fn user_agent(value: &str) -> Result<String, DropReason> {
    let value = value.trim();
    match () {
        () if value.is_empty() => Err(DropReason::Empty),
        () if placeholder::is_missing_id(value) => Err(DropReason::Placeholder),
        () if value.len() > LONGEST_USER_AGENT => Err(DropReason::TooLong),
        () if value.chars().any(char::is_control) => Err(DropReason::Unprintable),
        () => Ok(value.to_owned()),
    }
}

fn address(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    // `[2001:db8::1]:443`
    let bare = match entry.strip_prefix('[') {
        Some(rest) => {
            let (inside, port) = rest.split_once(']')?;
            if !port.is_empty() {
                number(port.strip_prefix(':')?, u16::MAX.into())?;
            }
            inside
        }
        None => entry,
    };
    let (bare, longest) = match bare.split_once('/') {
        Some((bare, length)) => (bare, Some(number(length, 128)?)),
        None => (bare, None),
    };
    let bare = bare.split_once('%').map_or(bare, |(bare, _)| bare);
    let bare = without_appendix(bare);
    let address: IpAddr = match bare.parse() {
        Ok(address) => address,
        // `203.0.113.7:443`; an IPv6 address has more colons and was read above.
        Err(_) => {
            let (host, port) = bare.split_once(':')?;
            number(port, u16::MAX.into())?;
            IpAddr::V4(host.parse().ok()?)
        }
    };
    if address.is_ipv4() && longest.is_some_and(|length| length > 32) {
        return None;
    }
    Some(address.to_canonical())
}

/// Cuts off what Meta's parameter builder appends: a token for its language or six bytes in
/// base64url, of which the first is 1.
fn without_appendix(entry: &str) -> &str {
    const LANGUAGES: [&str; 6] = ["AQ", "Ag", "Aw", "BA", "BQ", "Bg"];
    match entry.rsplit_once('.') {
        Some((address, appendix)) if LANGUAGES.contains(&appendix) => address,
        Some((address, appendix))
            if appendix.len() == 8
                && appendix.starts_with('A')
                && appendix.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)) =>
        {
            address
        }
        _ => entry,
    }
}

fn number(text: &str, most: u32) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|n| digits && *n <= most)
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, ..] = v4.octets();
    // 100.64.0.0/10 is shared by customers of one carrier, RFC 6598; 198.18.0.0/15 is for
    // benchmarks, RFC 2544; 240.0.0.0/4 is reserved and ends with broadcast, RFC 1112.
    let shared = a == 100 && (64..128).contains(&b);
    let benchmark = a == 198 && matches!(b, 18 | 19);
    !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || shared || benchmark)
        && !(v4.is_multicast() || a == 0 || a >= 240)
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    let reserved = v6.is_loopback() || v6.is_unspecified() || v6.is_multicast();
    let [first, second, third, fourth, fifth, sixth, high, low] = v6.segments();
    // fec0::/10 was once for sites, RFC 3879.
    let local = v6.is_unique_local() || v6.is_unicast_link_local() || first & 0xffc0 == 0xfec0;
    // 64:ff9b::/96 has an IPv4 address at its end, RFC 6052.
    let is_translated = [first, second, third, fourth, fifth, sixth] == [0x64, 0xff9b, 0, 0, 0, 0];
    let inner = Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    !(reserved || local || (is_translated && !is_public_v4(inner)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_builders_appendix_is_cut_off_an_address() {
        for appendix in ["AQ", "Ag", "Aw", "BA", "BQ", "Bg", "AQQCAQIB", "AQYA_-0z"] {
            for ip in ["203.0.113.7", "2001:db8::1"] {
                assert_eq!(client_ip(&format!(" {ip}.{appendix} ")).as_deref(), Ok(ip));
            }
            let private = client_ip(&format!("10.0.0.1.{appendix}"));
            assert_eq!(private, Err(DropReason::PrivateAddress));
            let no_address = client_ip(&format!("203.0.113.{appendix}"));
            assert_eq!(no_address, Err(DropReason::Malformed));
        }
        for value in ["8.8.8.8.12", "8.8.8.8.12345678", "8.8.8.8.AQQCAQI", "8.8.8.8.AQ.AQ"] {
            assert_eq!(client_ip(value), Err(DropReason::Malformed), "{value}");
        }
    }

    #[test]
    fn worked_examples() {
        for value in [
            "203.0.113.7",
            " 203.0.113.7 ",
            "203.0.113.7:443",
            "203.0.113.7/32",
            "203.0.113.7.AQ",
            "203.0.113.7.AQQCAQIB",
            "::ffff:203.0.113.7",
            "10.0.0.1, 203.0.113.7, 198.51.100.1",
            "unknown, 203.0.113.7",
        ] {
            assert_eq!(client_ip(value).as_deref(), Ok("203.0.113.7"), "{value}");
        }
        for value in ["2001:DB8:0::1", "[2001:db8::1]:443", "2001:db8::1/128", "[2001:db8::1]"] {
            assert_eq!(client_ip(value).as_deref(), Ok("2001:db8::1"), "{value}");
        }
    }

    #[test]
    fn addresses_of_nobody_are_dropped() {
        for value in [
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.1.1",
            "0.0.0.0",
            "::1",
            "fe80::1%eth0",
            "fd00::1",
            "::ffff:10.0.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "fec0::1",
            "64:ff9b::10.0.0.1",
        ] {
            assert_eq!(client_ip(value), Err(DropReason::PrivateAddress), "{value}");
        }
        for value in ["64:ff9b::8.8.8.8", "198.17.0.1", "239.0.0.1.AQ"] {
            assert_eq!(client_ip(value).is_ok(), !value.starts_with("239"), "{value}");
        }
        assert_eq!(client_ip("2001:db8::1.AQQCAQIB").as_deref(), Ok("2001:db8::1"));
        for value in [
            "localhost",
            "203.0.113",
            "203.0.113.7.AQQ",
            "203.0.113.7.99",
            "203.0.113.7:x",
            "203.0.113.7/64",
            "1.2.3.4.5",
        ] {
            assert_eq!(client_ip(value), Err(DropReason::Malformed), "{value}");
        }
        assert_eq!(client_ip(" "), Err(DropReason::Empty));
    }

    #[test]
    fn user_agents_are_verbatim() {
        assert_eq!(user_agent(" Mozilla/5.0 (X) ").as_deref(), Ok("Mozilla/5.0 (X)"));
        assert_eq!(user_agent("a\r\nb"), Err(DropReason::Unprintable));
        assert_eq!(user_agent(""), Err(DropReason::Empty));
        assert_eq!(user_agent(&"x".repeat(5000)), Err(DropReason::TooLong));
    }
}
