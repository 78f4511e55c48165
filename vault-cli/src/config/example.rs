//! The configuration that `vault config example` prints: every setting, with what it means.
//!
//! It is a configuration that can be used; a test reads it.

/// The example.
pub(crate) const TEXT: &str = r#"# Configuration of vault. `vault config check` finds mistakes in it,
# `vault config path` says where it belongs.
#
# An option comes before a variable of the environment, a variable before this
# file. Paths begin with / or ~/. Passphrases never stand here.

# A vault by name: `vault --vault photos snapshots`, `vault ls photos:latest`.
[vaults.photos]
location = "/mnt/disk/photos"
# Prints the passphrase; backing up needs none.
#passphrase-command = "secret-tool lookup vault photos"
# Opens your identity instead of a passphrase.
#identity = ["~/.ssh/id_ed25519"]
# How long one passphrase serves for reading.
#unlock-for = "15min"

# What is backed up: `vault run home`, or `vault backup --profile home`.
[profiles.home]
vault = "photos"            # or vaults = ["photos", "usb"]
sources = ["~/Documents", "~/Pictures"]
exclude = ["*.tmp", "node_modules"]     # as in a .gitignore file
#exclude-file = ["~/.config/vault/exclude"]
exclude-caches = true       # directories with a CACHEDIR.TAG
exclude-larger-than = "4G"
one-file-system = true
tags = ["home"]
compression = "default"     # fast, default, best, or -7 to 19
#host = "laptop"            # name of this machine in snapshots

# Which snapshots `vault run` keeps. Without this section it forgets none.
[profiles.home.keep]
last = 3
daily = 14
weekly = 8
monthly = 24
yearly = 10
#hourly = 24
#within = "30d"             # everything younger
#tag = ["keep"]             # everything with this tag

# Commands around a run, for sh. They see VAULT_PROFILE, and in the end
# VAULT_RESULT (done, incomplete, failed or interrupted), VAULT_SNAPSHOT and
# VAULT_EXIT. A `before` that fails prevents the backup; `on-failure` gets a
# summary of one line on its standard input.
[profiles.home.hooks]
#before = "mountpoint -q /mnt/disk"
#after = "logger \"vault $VAULT_PROFILE: $VAULT_RESULT\""
#on-failure = "mail -s 'backup failed' me"
#on-success = "curl -fsS https://example.org/ping/1234"
timeout = "10min"           # for each of them

# When it runs by itself: `vault schedule install home`.
[profiles.home.schedule]
calendar = "daily"          # or 22:30, Mon..Fri 12:00, hourly, weekly
jitter = "30min"
stale-after = "3d"          # `vault doctor` warns from this age on
prune = "weekly"            # or daily, monthly, 14d, never
verify = { max-age = "30d", budget = "5%" }
"#;
