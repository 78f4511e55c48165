//! Where a request comes from when proxies stand before the server.
//!
//! What a header says of an address counts only as far as proxies that the operator named have written it: everything before that,
//! a client can make up.

use std::net::IpAddr;

/// The proxies whose word is taken: addresses and networks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proxies(Vec<Range>);

/// A network: its address, and how many bits of it count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    address: IpAddr,
    bits: u32,
}

impl Proxies {
    /// Those on this machine.
    pub fn on_this_machine() -> Self {
        Self::parse("127.0.0.0/8, ::1").unwrap_or_default()
    }

    /// Reads addresses and networks between commas, as in `10.0.0.1, 10.1.0.0/16`; `None` if one is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let ranges = text.split(',').map(str::trim).filter(|range| !range.is_empty());
        ranges.map(Range::parse).collect::<Option<_>>().map(Self)
    }

    /// Whether the address is one of theirs.
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|range| range.contains(address))
    }

    /// The client's address, if `peer` is who connected and `forwarded` are the values of `x-forwarded-for` in order.
    ///
    /// Each proxy adds at the end whom it serves. So they are read from the end, as long as who wrote them is a proxy.
    pub fn client<'h>(&self, peer: IpAddr, forwarded: impl DoubleEndedIterator<Item = &'h str>) -> IpAddr {
        let mut client = peer;
        for said in forwarded.rev().flat_map(|value| value.rsplit(',')) {
            if !self.contain(client) {
                break;
            }
            let Ok(address) = said.trim().parse::<IpAddr>() else { break };
            client = address;
        }
        client
    }
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address = address.parse::<IpAddr>().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
        (bits <= most).then_some(Self { address, bits })
    }

    fn contains(self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - self.bits).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - self.bits).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(proxies: &str, peer: &str, forwarded: &[&str]) -> String {
        let proxies = Proxies::parse(proxies).unwrap();
        proxies.client(peer.parse().unwrap(), forwarded.iter().copied()).to_string()
    }

    #[test]
    fn nobody_but_a_proxy_says_who_the_client_is() {
        for (proxies, peer, forwarded, expected) in [
            ("", "192.0.2.1", &["203.0.113.9"][..], "192.0.2.1"),
            ("10.0.0.1", "192.0.2.1", &["203.0.113.9"], "192.0.2.1"),
            ("10.0.0.1", "10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", "::ffff:10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("10.0.0.0/8", "10.9.9.9", &[], "10.9.9.9"),
            // What the client itself wrote stands before what the proxy added.
            ("10.0.0.1", "10.0.0.1", &["198.51.100.7, 203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", "10.0.0.1", &["198.51.100.7", "203.0.113.9"], "203.0.113.9"),
            ("10.0.0.0/8", "10.0.0.1", &["198.51.100.7, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
            ("10.0.0.1", "10.0.0.1", &["203.0.113.9, unknown"], "10.0.0.1"),
            ("2001:db8::/32", "2001:db8:1::1", &["2001:db9::1"], "2001:db9::1"),
            ("2001:db8::/32", "2001:db9::1", &["203.0.113.9"], "2001:db9::1"),
        ] {
            assert_eq!(client(proxies, peer, forwarded), expected, "{proxies} {peer} {forwarded:?}");
        }
    }

    #[test]
    fn networks_are_addresses_with_a_length_that_fits() {
        assert!(Proxies::parse("0.0.0.0/0").unwrap().contain("192.0.2.1".parse().unwrap()));
        assert!(Proxies::parse("::/0").unwrap().contain("2001:db8::1".parse().unwrap()));
        assert!(!Proxies::parse("::/0").unwrap().contain("192.0.2.1".parse().unwrap()));
        assert!(Proxies::on_this_machine().contain("127.0.0.1".parse().unwrap()));
        for text in ["localhost", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0/8", "10.0.0.1 10.0.0.2"] {
            assert_eq!(Proxies::parse(text), None, "{text}");
        }
    }
}
