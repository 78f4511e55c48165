//! What both engines must do alike: each test runs on SQLite, and on PostgreSQL where it is installed.

mod accounts;
mod grants;
mod log;
mod objects;

/// Makes a module of tests for each engine, of functions that take a database.
macro_rules! on_both_engines {
    ($($name:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                let test = crate::db::testing::sqlite().await;
                super::$name(&test.db).await;
                test.db.close().await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test]
            async fn $name() {
                if let Some(test) = crate::db::testing::postgres().await {
                    super::$name(&test.db).await;
                    test.db.close().await;
                }
            })+
        }
    };
}
use on_both_engines;
