//! Nonces of requests: each is accepted once while its signature is in the window.

use vault_core::id::DeviceId;

use super::session::args;
use super::{Database, DbError};

impl Database {
    /// Uses a nonce of a device. `false` if it was used before: the request is a replay.
    ///
    /// `expires_ms` is when a signature with it is outside the window at the latest.
    pub async fn use_nonce(
        &self,
        device: DeviceId,
        nonce: [u8; 16],
        expires_ms: u64,
    ) -> Result<bool, DbError> {
        self.write((device, nonce, expires_ms), |session, (device, nonce, expires_ms)| {
            Box::pin(async move {
                let sql = "INSERT INTO nonces (device, nonce, expires_ms) VALUES ($1, $2, $3)
                           ON CONFLICT (device, nonce) DO NOTHING";
                Ok(session.execute(sql, args![device, nonce, *expires_ms]).await? == 1)
            })
        })
        .await
    }

    /// Forgets nonces whose signatures are outside the window; at most 10,000 at once. How many.
    pub async fn forget_nonces(&self, now_ms: u64) -> Result<u64, DbError> {
        self.write(now_ms, |session, now_ms| {
            Box::pin(async move {
                let sql = "DELETE FROM nonces WHERE (device, nonce) IN
                             (SELECT device, nonce FROM nonces WHERE expires_ms < $1 LIMIT 10000)";
                session.execute(sql, args![*now_ms]).await
            })
        })
        .await
    }
}
