//! What the server tells its operator: one line for each request, one for each failed authentication, errors with their causes.
//!
//! No line holds a query, a key, a name of an object or, unless configured, a whole address. The target and the words of the
//! line about a failed authentication never change: programs such as fail2ban read it.

use std::fmt;
use std::net::IpAddr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use vault_core::id::DeviceId;

use crate::config::LogFormat;

/// The target of lines about failed authentication.
pub const AUTH: &str = "vault_server::auth";

/// The target of lines about requests.
pub const REQUEST: &str = "vault_server::request";

/// Why nothing is logged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// Not a level or filter.
    #[error("log.level is not a level or a filter")]
    Filter(#[from] ParseError),
    /// Something else logs already.
    #[error("logging was set up before")]
    Twice,
}

/// Sends lines to standard error.
pub fn init(format: LogFormat, level: &str) -> Result<(), TelemetryError> {
    let filter = EnvFilter::builder().parse(level)?;
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    let done = match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    done.map_err(|_| TelemetryError::Twice)
}

/// The network of an address: IPv4 `/24`, IPv6 `/48`; `/32` and `/128` when addresses are shown whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// The network that stands for `address` in logs and in the audit.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                Self { address: [a, b, c, 0].into(), bits: 24 }
            }
            IpAddr::V6(v6) => {
                let [a, b, c, ..] = v6.segments();
                Self { address: [a, b, c, 0, 0, 0, 0, 0].into(), bits: 48 }
            }
        }
    }

    /// The address itself.
    pub fn whole(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, bits: if address.is_ipv4() { 32 } else { 128 } }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// Why a request was not authenticated: for the log only, never for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthFailure {
    /// Headers of a signature are missing or not in the one form.
    Malformed,
    /// No device of that id, or it was revoked, or its user is suspended.
    UnknownDevice,
    /// The signature does not fit.
    BadSignature,
    /// Made too long ago, or in the future.
    Clock,
    /// Signed for another name than this server's.
    OtherAuthority,
    /// Seen before.
    Replayed,
    /// The secret of an invite was wrong.
    BadInvite,
    /// The token of a link was wrong, or missing.
    BadLink,
}

impl AuthFailure {
    /// The word in the log; never changes.
    pub fn word(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownDevice => "unknown_device",
            Self::BadSignature => "bad_signature",
            Self::Clock => "clock",
            Self::OtherAuthority => "other_authority",
            Self::Replayed => "replayed",
            Self::BadInvite => "bad_invite",
            Self::BadLink => "bad_link",
        }
    }
}

/// Logs a failed authentication. With text lines it is, after time and level,
/// `vault_server::auth: authentication failed address=203.0.113.0/24 reason=bad_signature`.
pub fn authentication_failed(network: Network, failure: AuthFailure) {
    tracing::warn!(target: AUTH, address = %network, reason = %failure.word(), "authentication failed");
}

/// One finished request.
#[derive(Debug, Clone, Copy)]
pub struct Finished<'a> {
    /// Its id.
    pub request: &'a str,
    /// Its method.
    pub method: &'a str,
    /// The pattern of its route, never its path.
    pub route: &'a str,
    /// The answer.
    pub status: u16,
    /// Milliseconds until the answer's head.
    pub millis: u128,
    /// Who asked.
    pub device: Option<DeviceId>,
    /// From where.
    pub network: Network,
}

/// Logs a finished request.
pub fn request_finished(finished: &Finished<'_>) {
    let Finished { request, method, route, status, millis, device, network } = *finished;
    let device = device.map(|device| device.short()).unwrap_or_default();
    if status >= 500 {
        tracing::error!(target: REQUEST, request, method, route, status, millis, device, address = %network, "answered");
    } else {
        tracing::info!(target: REQUEST, request, method, route, status, millis, device, address = %network, "answered");
    }
}

/// An error with all its causes in one line.
pub struct Causes<'a>(pub &'a (dyn std::error::Error + 'static));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_cut_to_their_network() {
        for (address, shown) in [
            ("203.0.113.77", "203.0.113.0/24"),
            ("::ffff:203.0.113.77", "203.0.113.0/24"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ] {
            assert_eq!(Network::of(address.parse().unwrap()).to_string(), shown);
        }
        assert_eq!(Network::whole("203.0.113.77".parse().unwrap()).to_string(), "203.0.113.77/32");
    }

    #[test]
    fn causes_stand_in_one_line() {
        let error = TelemetryError::Filter("nonsense=nonsense".parse::<EnvFilter>().unwrap_err());

        assert!(Causes(&error).to_string().starts_with("log.level is not a level or a filter: "));
    }
}
