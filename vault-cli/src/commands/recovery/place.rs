//! Where the vault of a kit is: a location, and behind `#` what a bare machine needs to know of its server.
//!
//! `https://HOST[:PORT]/v/VAULT#RECEIPT-KEY[.PIN]`, both base64url. Nothing of it is secret.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::sync::Arc;

use vault_core::crypto::sign::VerifyingKey;
use vault_core::keys::identity_file::UserIdentity;
use vault_core::keys::kit::Kit;
use vault_core::ops::cards::{self, Seen};
use vault_core::store::location::{Access, Location};
use vault_core::wire::authority::Pin;
use vault_core::wire::encoding::{from_base64url, to_base64url};

use crate::context::Context;
use crate::error::CliError;
use crate::servers::Joined;
use crate::ui::progress::Display;

/// Where the vault of a kit is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) location: Location,
    /// How the server is recognised, where the kit says so.
    server: Option<(VerifyingKey, Option<Pin>)>,
}

impl Place {
    /// The place that the kit names, unless an option or the environment names another.
    pub(super) fn of_kit(kit: &Kit, context: &Context) -> Result<Self, CliError> {
        if context.names_vault() {
            let location = context.location()?;
            let of_kit = Self::parse(&kit.location).ok().filter(|place| place.location == location);
            return Ok(of_kit.unwrap_or(Self { location, server: None }));
        }
        Self::parse(&kit.location)
    }

    fn parse(bytes: &[u8]) -> Result<Self, CliError> {
        if bytes.starts_with(b"https://")
            && let Ok(text) = str::from_utf8(bytes)
            && let Some((place, known)) = text.split_once('#')
            && let Some(server) = known_server(known)
        {
            return Ok(Self { location: Location::parse(place)?, server: Some(server) });
        }
        Ok(Self { location: Location::parse(OsString::from_vec(bytes.to_vec()))?, server: None })
    }

    /// The place as a kit names it: as it means the same from everywhere.
    pub(super) fn for_kit(location: &Location, context: &Context) -> Result<OsString, CliError> {
        let mut place = in_full(location);
        if let Some(url) = location.server()
            && let Some(joined) = context.servers()?.get(url)?
        {
            place.push(format!("#{}", to_base64url(&joined.receipt_key.0)));
            if let Some(pin) = joined.pin {
                place.push(format!(".{pin}"));
            }
        }
        Ok(place)
    }

    /// Whether it takes the identity to get there.
    pub(super) fn needs_identity(&self) -> bool {
        self.server.is_some()
    }

    /// What it takes to open the place on a machine that knows nothing: on a server, the recovery device.
    pub(super) fn access(
        &self,
        identity: Option<&UserIdentity>,
        context: &Context,
    ) -> Result<Access, CliError> {
        match (identity, self.joined(identity, context)) {
            (Some(identity), Some(joined)) => {
                Ok(Access::to(Arc::new(context.server_recovering(&joined, identity)?)))
            }
            _ => context.access(&self.location),
        }
    }

    /// Puts this machine on the user's card, and remembers the server.
    pub(super) fn join(&self, identity: &UserIdentity, context: &Context) -> Result<(), CliError> {
        let Some(mut joined) = self.joined(Some(identity), context) else { return Ok(()) };
        let server = context.server_recovering(&joined, identity)?;
        let machine = cards::machine(&context.device()?, &identity.user_id());
        let display = Display::new(context.ui);
        let around = context.around(&display)?;
        let put = |listed: &mut Vec<_>| cards::put(listed, std::slice::from_ref(&machine));
        let chain = cards::change(&server, identity, None, &put, &around)?;
        joined.card = Some(Seen::of(&chain));
        context.servers()?.join(&joined)
    }

    fn joined(&self, identity: Option<&UserIdentity>, context: &Context) -> Option<Joined> {
        let (receipt_key, pin) = self.server?;
        Some(Joined {
            url: self.location.server()?.clone(),
            pin,
            receipt_key,
            user: identity?.user_id(),
            name: None,
            since: context.now().seconds,
            card: None,
            audited: None,
            vaults: BTreeMap::new(),
        })
    }
}

/// The place by its full path or URL.
pub(super) fn in_full(location: &Location) -> OsString {
    match location.directory() {
        Some(directory) => directory.canonicalize().unwrap_or_else(|_| directory.to_owned()).into_os_string(),
        None => location.to_string().into(),
    }
}

fn known_server(text: &str) -> Option<(VerifyingKey, Option<Pin>)> {
    let (receipt_key, pin) = match text.split_once('.') {
        Some((receipt_key, pin)) => (receipt_key, Some(Pin::parse(pin)?)),
        None => (text, None),
    };
    Some((VerifyingKey(from_base64url(receipt_key)?), pin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_on_a_server_says_how_that_is_recognised() {
        let url = format!("https://a:8443/v/{}", "ab".repeat(32));
        let (key, pin) = (VerifyingKey([1; 32]), Pin([2; 32]));
        let full = format!("{url}#{}.{pin}", to_base64url(&key.0));

        let place = Place::parse(full.as_bytes()).unwrap();

        assert_eq!((place.location.to_string(), place.server), (url.clone(), Some((key, Some(pin)))));
        assert_eq!(Place::parse(url.as_bytes()).unwrap().server, None);
        assert!(Place::parse(format!("{url}#x").as_bytes()).is_err());
        assert_eq!(Place::parse(b"/mnt/a#b").unwrap().location, Location::parse("/mnt/a#b").unwrap());
    }
}
