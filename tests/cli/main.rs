//! Runs the command `vault` as its users do: `tests/cmd/<command>/*.trycmd` are sessions with their expected output.
//!
//! Each case runs in a directory of its own that is also its home, and sees nothing of the machine's environment.

/// A passphrase that costs next to nothing to try comes from `--work-factor`; this is the passphrase.
const PASSPHRASE: &str = "correct horse";

#[test]
fn commands_answer_as_their_cases_say() {
    let cases = trycmd::TestCases::new();
    for (name, value) in [
        // Relative, so that each case has its own.
        ("HOME", "home"),
        ("TZ", "UTC"),
        ("TERM", "dumb"),
        ("VAULT_PASSPHRASE", PASSPHRASE),
        ("VAULT_CONFIG", ""),
        ("VAULT_LOCATION", ""),
        ("XDG_CONFIG_HOME", ""),
        ("XDG_STATE_HOME", ""),
        ("XDG_CACHE_HOME", ""),
    ] {
        cases.env(name, value);
    }
    cases.case("../tests/cmd/*/*.trycmd").case("../tests/cmd/*/*.toml");
    cases.run();
}
