//! Architecture: the rules of `docs/architecture.md` hold in the sources.
//!
//! The tables of imports are read from that page, so the page and this test cannot differ. Code under `#[cfg(test)]` is exempt.

use std::fs;
use std::path::{Path, PathBuf};

use vault_tests::damage::files_below;
use vault_tests::workspace;

/// A path within a crate, in parts: `crypto::hash` is `["crypto", "hash"]`.
type Parts = Vec<String>;

/// One source file, without its tests and comments.
struct Source {
    /// Relative to the workspace.
    path: PathBuf,
    /// The module that the file is.
    module: Parts,
    text: String,
    code: String,
}

/// The sources of one crate of the workspace.
fn sources(package: &str) -> Vec<Source> {
    let root = workspace().join(package).join("src");
    let files = files_below(&root).into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs"));
    let sources: Vec<_> = files
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let code = if is_for_tests(&path) { String::new() } else { code_of(&text) };
            let module = module_of(path.strip_prefix(&root).unwrap());
            Source { path: path.strip_prefix(workspace()).unwrap().to_owned(), module, text, code }
        })
        .collect();
    assert!(sources.len() > 5, "{package} has sources");
    sources
}

/// Files that their parent declares under `#[cfg(test)]`.
fn is_for_tests(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem == "tests" || stem == "testing")
}

fn module_of(path: &Path) -> Parts {
    let mut parts: Parts = path
        .with_extension("")
        .components()
        .map(|part| part.as_os_str().to_str().unwrap().to_owned())
        .collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

/// The text without line comments, and without the tests at the end.
fn code_of(text: &str) -> String {
    let is_tests = |at: &usize| {
        text[*at..].lines().nth(1).is_some_and(|line| line.contains("mod ") && line.ends_with('{'))
    };
    let end = text.match_indices("#[cfg(test)]\n").map(|(at, _)| at).find(is_tests).unwrap_or(text.len());
    let without_comment = |line: &str| match line.find("//") {
        Some(at) if line[..at].matches('"').count().is_multiple_of(2) => line[..at].to_owned(),
        _ => line.to_owned(),
    };
    text[..end].lines().map(|line| without_comment(line) + "\n").collect()
}

/// All paths in `code` that begin with `root`, resolved: groups are spread, `self` at the end is left out.
fn paths_from(code: &str, root: &str) -> Vec<Parts> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices(root) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        if let Some(rest) = code[at + root.len()..].strip_prefix("::") {
            spread(rest, &mut Vec::new(), &mut paths);
        }
    }
    paths
}

/// Reads what follows `::`; returns what follows it.
fn spread<'c>(code: &'c str, prefix: &mut Parts, paths: &mut Vec<Parts>) -> &'c str {
    let code = code.trim_start();
    if let Some(mut rest) = code.strip_prefix('{') {
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
            if let Some(after) = rest.strip_prefix('}') {
                return after;
            }
            let before = rest.len();
            rest = spread(rest, prefix, paths);
            assert!(rest.len() < before, "cannot read the import {rest:.60}");
        }
    }
    let end = code.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '*')).unwrap_or(code.len());
    let (name, rest) = code.split_at(end);
    let depth = prefix.len();
    if name != "self" {
        prefix.push(name.to_owned());
    }
    let rest = if let Some(below) = rest.strip_prefix("::") {
        spread(below, prefix, paths)
    } else {
        paths.push(prefix.clone());
        // `name as other` in a group.
        rest.strip_prefix(" as ")
            .map_or(rest, |r| r.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'))
    };
    prefix.truncate(depth);
    rest
}

/// Every path of the crate that a source file names, from the root of the crate.
fn imports(source: &Source) -> Vec<Parts> {
    let mut paths = paths_from(&source.code, "crate");
    for mut path in paths_from(&source.code, "super") {
        let mut module = source.module.clone();
        module.pop();
        while path.first().is_some_and(|part| part == "super") {
            path.remove(0);
            module.pop();
        }
        module.extend(path);
        paths.push(module);
    }
    paths
}

/// One row of a table of imports.
struct Row {
    module: String,
    /// What it may import of its own crate; of the engine, where the row is about a whole crate.
    allowed: Vec<Parts>,
    /// What it may import of the engine, in the table of another crate.
    of_the_engine: Vec<Parts>,
}

/// The modules of the engine, and the crates over it.
const ENGINE: &str = "Who may import whom";
/// The modules of the server.
const SERVER: &str = "Who may import whom in the server";

/// A table of `docs/architecture.md`: the rows that follow the heading.
fn table(heading: &str) -> Vec<Row> {
    let page = fs::read_to_string(workspace().join("docs/architecture.md")).unwrap();
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).expect("the page has the section");
    let rows = section.split("\n## ").next().unwrap().lines().filter(|line| line.starts_with("| `"));
    let paths = |cell: Option<&str>| -> Vec<Parts> {
        let paths = cell.unwrap_or("").split('`').skip(1).step_by(2);
        paths.map(|path| path.split("::").map(str::to_owned).collect()).collect()
    };
    let table: Vec<_> = rows
        .map(|row| {
            let mut cells = row.split('|').map(str::trim).skip(1);
            let module = cells.next().unwrap().trim_matches('`').to_owned();
            Row { module, allowed: paths(cells.next()), of_the_engine: paths(cells.next()) }
        })
        .collect();
    assert!(table.len() > 10, "the table was found");
    table
}

fn is_allowed(path: &Parts, allowed: &[Parts]) -> bool {
    allowed.iter().any(|prefix| path.starts_with(prefix))
}

/// What the sources of a crate import of modules that have a row, and their own row does not list.
fn breaches(package: &str, table: &[Row]) -> Vec<String> {
    let row_of = |module: &str| table.iter().find(|row| row.module == module);
    let mut breaches = Vec::new();
    for source in sources(package) {
        let Some(module) = source.module.first() else { continue };
        let row = row_of(module).unwrap_or_else(|| panic!("{module} has no row"));
        // The modules of the program call those of the library by its name.
        let library = if module == "commands" { package.replace('-', "_") } else { "crate".to_owned() };
        for path in imports(&source).into_iter().chain(paths_from(&source.code, &library)) {
            // What is in no row is not a module: an item of an enclosing module in the same file.
            let is_module = path.first().is_some_and(|first| first != module && row_of(first).is_some());
            if is_module && !is_allowed(&path, &row.allowed) {
                breaches.push(format!("{}: {}", source.path.display(), path.join("::")));
            }
        }
        for path in paths_from(&source.code, "vault_core") {
            if package != "vault-core" && !is_allowed(&path, &row.of_the_engine) {
                breaches.push(format!("{}: vault_core::{}", source.path.display(), path.join("::")));
            }
        }
    }
    breaches
}

#[test]
fn modules_import_only_what_their_row_lists() {
    assert_eq!(breaches("vault-core", &table(ENGINE)), Vec::<String>::new());
    assert_eq!(breaches("vault-server", &table(SERVER)), Vec::<String>::new());
}

#[test]
fn the_programs_import_of_the_engine_only_what_their_rows_list() {
    let table = table(ENGINE);
    for package in ["vault-cli", "vault-server"] {
        let row = table.iter().find(|row| row.module == package).unwrap();
        let mut breaches = Vec::new();
        for source in sources(package) {
            let paths = paths_from(&source.code, "vault_core");
            let foreign = paths.into_iter().filter(|path| !is_allowed(path, &row.allowed));
            breaches.extend(foreign.map(|path| format!("{}: {}", source.path.display(), path.join("::"))));
        }
        assert_eq!(breaches, Vec::<String>::new());
    }
}

#[test]
fn every_row_is_about_a_module_and_names_modules_above_it() {
    for (package, heading) in [("vault-core", ENGINE), ("vault-server", SERVER)] {
        let modules: Vec<_> =
            sources(package).into_iter().filter_map(|source| source.module.first().cloned()).collect();
        let mut above = Vec::new();
        for row in table(heading) {
            let module = &row.module;
            let is_crate = heading == ENGINE && ["vault-cli", "vault-server"].contains(&module.as_str());
            assert!(is_crate || modules.contains(module), "there is no module {module}");
            for path in &row.allowed {
                assert!(modules.contains(&path[0]), "{module}: there is no module {}", path[0]);
                assert!(above.contains(&path[0]), "{module}: {} has no row above it", path[0]);
            }
            above.push(row.module);
        }
    }
}

/// The files whose code has any of the words, of those that `applies` to.
fn files_with(package: &str, words: &[&str], applies: impl Fn(&Path) -> bool) -> Vec<String> {
    let found = sources(package).into_iter().filter(|source| applies(&source.path));
    found
        .flat_map(|source| {
            let words = words.iter().filter(|word| has_word(&source.code, word));
            words.map(|word| format!("{}: {word}", source.path.display())).collect::<Vec<_>>()
        })
        .collect()
}

fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

/// The names that stand under `[dependencies]`.
fn depends_directly(package: &str) -> Vec<String> {
    let manifest = fs::read_to_string(workspace().join(package).join("Cargo.toml")).unwrap();
    let (_, dependencies) = manifest.split_once("\n[dependencies]\n").unwrap();
    let lines = dependencies.lines().take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| Some(line.split(['.', ' ']).next()?.to_owned())).collect()
}

#[test]
fn only_crypto_names_ring() {
    let outside = |path: &Path| !path.starts_with("vault-core/src/crypto");

    assert_eq!(files_with("vault-core", &["ring::"], outside), Vec::<String>::new());
    assert_eq!(files_with("vault-cli", &["ring::"], outside), Vec::<String>::new());
    // TLS calls its set of primitives by that name.
    let other_than_tls = |path: &Path| path != Path::new("vault-server/src/tls.rs");
    assert_eq!(files_with("vault-server", &["ring::"], other_than_tls), Vec::<String>::new());
    assert!(!depends_directly("vault-server").contains(&"ring".to_owned()));
    assert!(depends_directly("vault-core").contains(&"ring".to_owned()));
    assert!(!files_with("vault-core", &["ring::"], |_| true).is_empty(), "the search finds what is there");
}

#[test]
fn the_core_neither_prints_nor_reads_clock_environment_or_home() {
    let words = [
        "println!",
        "eprintln!",
        "print!",
        "eprint!",
        "dbg!",
        "env::var",
        "std::env",
        "SystemTime::now",
        "Instant::now",
        "stdin()",
        "stdout()",
        "stderr()",
        "process::exit",
        "home_dir",
    ];

    assert_eq!(files_with("vault-core", &words, |_| true), Vec::<String>::new());
}

#[test]
fn unsafe_code_stands_only_where_intrinsics_are() {
    let others = |path: &Path| {
        !["aesni.rs", "vaes.rs"].iter().any(|name| path == Path::new("vault-core/src/chunk/cut").join(name))
    };

    for package in ["vault-core", "vault-cli", "vault-server"] {
        assert_eq!(files_with(package, &["unsafe "], others), Vec::<String>::new());
    }
}

#[test]
fn every_file_begins_by_saying_what_it_holds() {
    for package in ["vault-core", "vault-cli", "vault-server"] {
        for source in sources(package) {
            assert!(source.text.starts_with("//! "), "{}", source.path.display());
        }
    }
    for file in files_below(&workspace().join("tests"))
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
    {
        assert!(fs::read_to_string(file).unwrap().starts_with("//! "), "{}", file.display());
    }
}

#[test]
fn imports_are_read_as_the_compiler_reads_them() {
    let code =
        "use crate::{a::{self, b}, c as d, e::*};\nfn f(x: crate::g::H) { my_crate::no(); }\nuse crate::i;";
    let found: Vec<_> = paths_from(code, "crate").iter().map(|path| path.join("::")).collect();

    assert_eq!(found, ["a", "a::b", "c", "e::*", "g::H", "i"]);
    let source = Source {
        path: PathBuf::new(),
        module: vec!["x".to_owned(), "y".to_owned()],
        text: String::new(),
        code: "use super::z; use super::super::w::V;".to_owned(),
    };
    let found: Vec<_> = imports(&source).iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["x::z", "w::V"]);
}
