//! `docs/cli.md`: every command with its whole help, rendered from the code, so that the two cannot differ.
//!
//! `UPDATE_DOCS=1 cargo test -p vault-cli reference` writes the page anew.

use std::fmt::Write as _;

use clap::{Command, CommandFactory as _};

use crate::cli::Cli;
use crate::config::example;

const HEAD: &str = "\
# The command line

Every command of `vault` with its help. This page is rendered from the code:
`UPDATE_DOCS=1 cargo test -p vault-cli reference` writes it anew. Options that every command takes stand under
[vault](#vault) only.
";

/// The page.
fn page() -> String {
    let mut root = Cli::command().term_width(80);
    root.build();
    let mut page = HEAD.to_owned();
    section(&mut page, &root, "vault", 2);
    let example = example::TEXT;
    page + &format!(
        "\n## The configuration\n\nWhat `vault config example` prints:\n\n```toml\n{example}```\n"
    )
}

fn section(page: &mut String, command: &Command, name: &str, level: usize) {
    let is_root = level == 2 && name == "vault";
    let hide = |argument: clap::Arg| {
        let everywhere =
            argument.is_global_set() && !is_root && argument.get_help_heading() != Some("Options");
        let is_help = argument.get_id() == "help" || argument.get_id() == "version";
        let hidden = argument.is_hide_set() || everywhere || is_help;
        argument.hide(hidden)
    };
    // Built already: the names of parents stand in the usage, which is asked for before anything changes.
    let help = command.clone().mut_args(hide).term_width(80).render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    // Writing to a `String` cannot fail.
    let _ = writeln!(page, "\n{} {name}\n\n```text\n{}\n```", "#".repeat(level), help.join("\n").trim());
    for below in command.get_subcommands().filter(|below| below.get_name() != "help" && !below.is_hide_set())
    {
        section(page, below, &format!("{name} {}", below.get_name()), if is_root { 2 } else { level + 1 });
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_page_in_the_documentation_is_what_the_commands_say() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md");
        let page = page();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &page).unwrap();
        }

        let found = std::fs::read_to_string(&path).unwrap_or_default();

        assert!(
            found == page,
            "docs/cli.md is out of date; write it anew: UPDATE_DOCS=1 cargo test -p vault-cli reference"
        );
    }
}
