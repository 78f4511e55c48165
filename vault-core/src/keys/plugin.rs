//! age plugins: programs called `age-plugin-NAME` that keep a key, on a hardware token say, and wrap and unwrap with it.
//!
//! A plugin is run only for what the user of this machine has named: an identity file, or a recipient on the command line or among the
//! contacts. What others wrote into a log or on a card never starts a program.

use std::collections::HashSet;
use std::fmt;

use age::plugin::{Identity, IdentityPluginV1, Recipient, RecipientPluginV1};
use age::{Callbacks, DecryptError, EncryptError, NoCallbacks};
use age_core::format::{FileKey, Stanza};

/// What a plugin's recipients begin with, as those of age itself do.
const RECIPIENT_BEGINNING: &str = "age1";
/// What a plugin's identities begin with.
pub(super) const IDENTITY_BEGINNING: &str = "AGE-PLUGIN-";

/// A recipient for which a plugin wraps.
#[derive(Clone)]
pub(super) struct PluginRecipient(Recipient);

/// An identity with which a plugin unwraps.
pub struct PluginIdentity(Box<dyn age::Identity + Send + Sync>);

impl PluginRecipient {
    /// Parses `age1NAME1…` in the one form that plugins write; `None` if it is not that.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let recipient: Recipient = text.parse().ok()?;
        let is_plain = text.starts_with(RECIPIENT_BEGINNING) && !text.bytes().any(|b| b.is_ascii_uppercase());
        is_plain.then_some(Self(recipient))
    }
}

impl age::Recipient for PluginRecipient {
    fn wrap_file_key(&self, file_key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        // Started when it is needed: who only knows the recipient need not have the program.
        let name = self.0.plugin().to_owned();
        RecipientPluginV1::new(&name, std::slice::from_ref(&self.0), &[], NoCallbacks)
            .map_err(EncryptError::PluginResolve)?
            .wrap_file_key(file_key)
    }
}

impl PluginIdentity {
    /// Parses `AGE-PLUGIN-NAME-1…`; what the plugin asks and says goes through `callbacks`.
    ///
    /// # Errors
    ///
    /// The name of the program, if it is not installed; `None` if the text is not one.
    pub(super) fn parse(text: &str, callbacks: impl Callbacks) -> Result<Self, Option<String>> {
        let identity: Identity = text.parse().map_err(|_| None)?;
        let name = identity.plugin().to_owned();
        let plugin = IdentityPluginV1::new(&name, std::slice::from_ref(&identity), callbacks);
        plugin.map(|plugin| Self(Box::new(plugin))).map_err(|_| Some(format!("age-plugin-{name}")))
    }
}

impl age::Identity for PluginIdentity {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        self.0.unwrap_stanza(stanza)
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<Result<FileKey, DecryptError>> {
        self.0.unwrap_stanzas(stanzas)
    }
}

impl fmt::Debug for PluginIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PluginIdentity(…)")
    }
}
