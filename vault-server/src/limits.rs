//! What one client may ask at once and in a while, so that no client takes the server from the others.
//!
//! Every table here is bounded: an entry leaves as soon as it says nothing any more.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use vault_core::id::DeviceId;

use crate::config;

/// How long a burst may last at twice the average rate, in seconds.
const BURST_SECONDS: u32 = 2;

/// Asked for more than one client gets; with the time after which to ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many requests")]
pub struct Limited {
    /// When to ask again.
    pub after: Duration,
}

/// One client as far as an address can tell: an IPv4 address, or the /64 of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer(u128);

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(u128::from(u32::from(v4))),
            IpAddr::V6(v6) => Self(u128::from(v6) >> 64 << 64 | 1 << 63),
        }
    }
}

/// The state of all limits.
pub struct Limiter {
    devices: DefaultKeyedRateLimiter<DeviceId>,
    signed: DefaultKeyedRateLimiter<Peer>,
    open: DefaultKeyedRateLimiter<Peer>,
    clock: DefaultClock,
    connections: Slots<Peer>,
    requests: Slots<DeviceId>,
    uploads: Slots<DeviceId>,
}

impl Limiter {
    /// Nothing asked yet.
    pub fn new(limits: &config::Limits) -> Self {
        let per_second = |rate: u32| {
            let rate = at_least_one(rate);
            Quota::per_second(rate).allow_burst(rate.saturating_mul(at_least_one(BURST_SECONDS)))
        };
        Self {
            devices: RateLimiter::keyed(per_second(limits.device_rate)),
            signed: RateLimiter::keyed(per_second(limits.address_rate)),
            open: RateLimiter::keyed(Quota::per_minute(at_least_one(limits.open_rate))),
            clock: DefaultClock::default(),
            connections: Slots::new(limits.address_connections),
            requests: Slots::new(limits.device_requests),
            uploads: Slots::new(limits.device_uploads),
        }
    }

    /// Counts a connection from an address, which holds a slot until the guard is dropped.
    pub fn connection_from(&self, address: IpAddr) -> Result<SlotGuard<Peer>, Limited> {
        self.connections.take(address.into())
    }

    /// Counts a request from an address, before anything else is looked at.
    pub fn request_from(&self, address: IpAddr) -> Result<(), Limited> {
        self.signed.check_key(&address.into()).map_err(|until| self.limited(&until))
    }

    /// Counts a request from an address that showed no valid signature.
    pub fn open_request_from(&self, address: IpAddr) -> Result<(), Limited> {
        self.open.check_key(&address.into()).map_err(|until| self.limited(&until))
    }

    /// Counts a request of a device, which holds a slot until the guard is dropped.
    pub fn request_of(&self, device: DeviceId) -> Result<SlotGuard<DeviceId>, Limited> {
        self.devices.check_key(&device).map_err(|until| self.limited(&until))?;
        self.requests.take(device)
    }

    /// Counts an upload of a device, which holds a slot until the guard is dropped.
    pub fn upload_of(&self, device: DeviceId) -> Result<SlotGuard<DeviceId>, Limited> {
        self.uploads.take(device)
    }

    /// Drops what says nothing any more; called now and then.
    pub fn tidy(&self) {
        self.devices.retain_recent();
        self.devices.shrink_to_fit();
        self.signed.retain_recent();
        self.signed.shrink_to_fit();
        self.open.retain_recent();
        self.open.shrink_to_fit();
    }

    fn limited(
        &self,
        until: &governor::NotUntil<<DefaultClock as governor::clock::Clock>::Instant>,
    ) -> Limited {
        Limited { after: until.wait_time_from(self.clock.now()) }
    }
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limiter").finish_non_exhaustive()
    }
}

fn at_least_one(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

/// A number of slots for each device, or each address.
#[derive(Debug)]
struct Slots<K: Eq + Hash> {
    taken: Arc<Mutex<HashMap<K, u32>>>,
    most: u32,
}

impl<K: Eq + Hash + Copy> Slots<K> {
    fn new(most: u32) -> Self {
        Self { taken: Arc::default(), most }
    }

    fn take(&self, whose: K) -> Result<SlotGuard<K>, Limited> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(whose).or_default();
        if *count >= self.most {
            return Err(Limited { after: Duration::from_secs(1) });
        }
        *count += 1;
        Ok(SlotGuard { taken: Arc::clone(&self.taken), whose })
    }
}

/// A slot, given back when dropped.
#[derive(Debug)]
pub struct SlotGuard<K: Eq + Hash> {
    taken: Arc<Mutex<HashMap<K, u32>>>,
    whose: K,
}

impl<K: Eq + Hash> Drop for SlotGuard<K> {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.whose) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.whose);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn limiter(change: impl FnOnce(&mut config::Limits)) -> Limiter {
        let mut limits = Config::defaults_in(std::path::Path::new("unused")).unwrap().limits;
        change(&mut limits);
        Limiter::new(&limits)
    }

    #[test]
    fn slots_come_back_when_guards_are_dropped() {
        let limiter = limiter(|limits| limits.device_uploads = 2);
        let (one, other) = (DeviceId::new([1; 16]), DeviceId::new([2; 16]));

        let first = limiter.upload_of(one).unwrap();
        let _second = limiter.upload_of(one).unwrap();
        assert!(limiter.upload_of(one).is_err());
        assert!(limiter.upload_of(other).is_ok());
        drop(first);
        assert!(limiter.upload_of(one).is_ok());
        assert_eq!(limiter.uploads.taken.lock().unwrap().len(), 1);
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_as_one() {
        let limiter = limiter(|limits| limits.open_rate = 1);
        let ask = |address: &str| limiter.open_request_from(address.parse().unwrap()).is_ok();

        assert!(ask("2001:db8::1"));
        assert!(!ask("2001:db8::2"));
        assert!(ask("2001:db8:0:1::1"));
        assert!(ask("192.0.2.1"));
        assert!(!ask("::ffff:192.0.2.1"));
        assert!(ask("192.0.2.2"));
    }
}
