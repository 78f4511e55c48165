//! Names of users: who has which, each once.
//!
//! A user has one name at most, and a name one user. Whoever asks for one that is taken changes nothing.

use vault_core::id::UserId;
use vault_core::wire::UserName;

use super::session::{Session, args};
use super::{Database, DbError};

/// What became of giving a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// The user has it now.
    Done,
    /// Another user has it.
    Taken,
    /// There is no such user.
    NoUser,
}

impl Database {
    /// Who has a name.
    pub async fn user_named(&self, name: &UserName) -> Result<Option<UserId>, DbError> {
        let sql = "SELECT user_id FROM names WHERE name = $1";
        let row = self.reader().await?.row(sql, args![name.as_str()]).await?;
        row.map(|row| row.id(0)).transpose()
    }

    /// Gives a user a name, in place of the one they had.
    pub async fn set_name(&self, user: UserId, name: UserName) -> Result<Named, DbError> {
        self.write((user, name), |session, (user, name)| {
            Box::pin(async move {
                // An update, so that two changes of one user's name come one after the other.
                let sql = "UPDATE users SET used = used WHERE user_id = $1";
                if session.execute(sql, args![user]).await? == 0 {
                    return Ok(Named::NoUser);
                }
                session.execute("DELETE FROM names WHERE user_id = $1", args![user]).await?;
                let given = give(session, user, name).await?;
                Ok(if given { Named::Done } else { session.undo(Named::Taken) })
            })
        })
        .await
    }
}

/// Gives a name that nobody has to a user who has none; whether the user has it now.
pub(super) async fn give(session: &mut Session, user: &UserId, name: &UserName) -> Result<bool, DbError> {
    let sql = "INSERT INTO names (name, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    Ok(session.execute(sql, args![name.as_str(), user]).await? == 1)
}

/// Gives a user who joins the name that they want, or else the invite's label where it is one; false if another has the one they want.
///
/// Who has a name already keeps it.
pub(super) async fn give_at_join(
    session: &mut Session,
    user: &UserId,
    (wanted, label): (Option<&UserName>, &str),
) -> Result<bool, DbError> {
    let Some(wanted) = wanted else {
        if let Ok(label) = UserName::parse(label) {
            give(session, user, &label).await?;
        }
        return Ok(true);
    };
    if give(session, user, wanted).await? {
        return Ok(true);
    }
    let has_one = session.row("SELECT name FROM names WHERE user_id = $1", args![user]).await?;
    Ok(has_one.is_some())
}
