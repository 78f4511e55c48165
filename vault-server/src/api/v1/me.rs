//! `/v1/me`: what the server knows of who asks.

use actix_web::{HttpRequest, HttpResponse};
use vault_core::log::{DeviceKind, Role};
use vault_core::wire::UserName;
use vault_core::wire::v1::me::{Me, MyVault, Standing};

use super::{json, limit_of, no_query};
use crate::auth::Authenticated;
use crate::db::{Access, VaultOfUser};
use crate::error::ApiError;

/// Answers [`Me`].
pub async fn get(request: HttpRequest, asker: Authenticated) -> Result<HttpResponse, ApiError> {
    no_query(&request)?;
    let db = &asker.state.db;
    let user = db.user(&asker.user).await?.ok_or_else(ApiError::not_found)?;
    let vaults = db.vaults_of(&asker.user, &asker.device).await?;
    let is_full = asker.kind == DeviceKind::Full;
    let mut mine: Vec<MyVault> = Vec::new();
    for vault in &vaults {
        // Of a user and of the device itself: the device's stands first, and counts.
        let is_known = mine.iter().any(|known| known.vault == vault.vault);
        if !is_known && (is_full || vault.access == Access::AppendOnly) {
            mine.push(of(vault));
        }
    }
    let quota = limit_of(user.quota);
    let name = UserName::parse(&user.name).ok();
    json(&Me { user: asker.user, name, device: asker.device, quota, used: user.used, vaults: mine })
}

fn of(vault: &VaultOfUser) -> MyVault {
    let role = match vault.access {
        Access::AppendOnly => Standing::AppendOnly,
        Access::Role(Role::Owner) => Standing::Owner,
        Access::Role(Role::Editor) => Standing::Editor,
        Access::Role(Role::Reader) => Standing::Reader,
    };
    MyVault { vault: vault.vault, role, used: vault.used, quota: limit_of(vault.quota) }
}
