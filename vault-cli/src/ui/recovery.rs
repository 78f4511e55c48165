//! A recovery kit for people: a text to print or keep, and a page to print.
//!
//! Both say what they are, what opens them and what to do, to somebody who has never seen this program. The page is whole in
//! itself: it loads nothing and runs nothing.

use std::fmt::Write as _;

use qrcode::types::QrError;
use zeroize::Zeroizing;

use super::human;
use super::qr::Code;

/// What is said about a kit beside its contents.
pub(crate) struct Sheet<'a> {
    /// The day it was made.
    pub(crate) date: &'a str,
    /// The machine it was made on.
    pub(crate) host: &'a str,
    /// Where the vault is.
    pub(crate) location: &'a str,
    /// What is needed beside it.
    pub(crate) opens_with: OpensWith,
    /// The kit's own text.
    pub(crate) kit: &'a str,
    /// The texts of its codes.
    pub(crate) codes: &'a [Zeroizing<String>],
}

/// What is needed beside a kit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpensWith {
    /// The passphrase of the identity.
    Passphrase,
    /// The age identity or ssh key that the identity is sealed to.
    Key,
    /// Nothing.
    Nothing,
}

impl OpensWith {
    fn sentence(self) -> &'static str {
        match self {
            Self::Passphrase => "It opens with your passphrase, which does not stand here.",
            Self::Key => {
                "It opens with the age or ssh key that your identity is sealed to, which does not stand here."
            }
            Self::Nothing => "IT IS NOT SEALED: whoever has this sheet can read the vault. Lock it away.",
        }
    }
}

/// What to do, a line each.
fn instructions(sheet: &Sheet<'_>) -> [String; 10] {
    let place = human::shell_word(sheet.location);
    [
        "Install vault on any machine that can reach the vault, or a copy of it.".to_owned(),
        "Type or scan: save the text between the BEGIN and END lines, or the texts".to_owned(),
        "  of all QR codes, one on a line, as kit.txt.".to_owned(),
        "Try it:        vault recovery test --kit kit.txt".to_owned(),
        "Put it to use: vault recovery restore --kit kit.txt".to_owned(),
        format!("Where it is:   export VAULT_LOCATION={place}"),
        "Look:          vault snapshots".to_owned(),
        "Restore:       vault restore latest --target ./restored".to_owned(),
        "Without vault: the second half below is an age file (age-encryption.org); the".to_owned(),
        "  rest of the way is in docs/format.md of vault's sources.".to_owned(),
    ]
}

/// The kit as text; its codes in the colours of a terminal, or in ink.
pub(crate) fn text(sheet: &Sheet<'_>, terminal: bool) -> Result<Zeroizing<String>, QrError> {
    let codes = sheet.codes.iter().map(|code| Code::new(code)).collect::<Result<Vec<_>, _>>()?;
    let drawn: Vec<String> = codes.iter().map(|code| code.to_text(terminal)).collect();
    let length: usize = drawn.iter().map(|code| code.len() + 40).sum();
    // Of its final size, so that growing leaves no copies.
    let mut text = Zeroizing::new(String::with_capacity(length + sheet.kit.len() + 4_000));
    // Writing to a `String` cannot fail.
    let _ =
        writeln!(text, "RECOVERY KIT FOR A VAULT\n\nMade {} on {}.", sheet.date, human::message(sheet.host));
    let _ = writeln!(
        text,
        "{}\nKeep it apart from your machines, and where the vault is not.\n",
        sheet.opens_with.sentence()
    );
    for line in instructions(sheet) {
        let _ = writeln!(text, "  {line}");
    }
    let _ = writeln!(text, "\n{}", sheet.kit);
    for (i, code) in drawn.iter().enumerate() {
        let _ = writeln!(text, "QR code {} of {}:\n{code}", i + 1, drawn.len());
    }
    Ok(text)
}

/// The kit as a page.
pub(crate) fn html(sheet: &Sheet<'_>) -> Result<Zeroizing<String>, QrError> {
    let drawn =
        sheet.codes.iter().map(|code| Ok(Code::new(code)?.to_svg())).collect::<Result<Vec<_>, QrError>>()?;
    let length: usize = drawn.iter().map(|code| code.len() + 100).sum();
    let mut page = Zeroizing::new(String::with_capacity(length + 2 * sheet.kit.len() + 8_000));
    let _ = write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<title>Recovery kit for a vault</title>\n<style>{STYLE}</style>\n\
         </head>\n<body>\n<h1>Recovery kit for a vault</h1>\n<p>Made {} on {}.<br>{}<br>\
         Keep it apart from your machines, and where the vault is not.</p>\n<pre class=\"how\">\n",
        escape(sheet.date),
        escape(&human::message(sheet.host)),
        escape(sheet.opens_with.sentence()),
    );
    for line in instructions(sheet) {
        let _ = writeln!(page, "{}", escape(&line));
    }
    let _ = write!(page, "</pre>\n<pre>\n{}</pre>\n<div>\n", escape(sheet.kit));
    for (i, code) in drawn.iter().enumerate() {
        let (number, count) = (i + 1, drawn.len());
        let _ = writeln!(page, "<figure>{code}<figcaption>{number} of {count}</figcaption></figure>");
    }
    page.push_str("</div>\n</body>\n</html>\n");
    Ok(page)
}

const STYLE: &str = "body{font:11pt/1.4 sans-serif;max-width:18cm;margin:1cm auto;color:#000;background:#fff}\
    pre{font:9pt/1.3 monospace;white-space:pre-wrap;overflow-wrap:anywhere}pre.how{font-size:10pt}\
    div{display:flex;flex-wrap:wrap;gap:4mm}figure{margin:0;width:8.5cm;break-inside:avoid;text-align:center}\
    @page{margin:1.5cm}";

/// Text in a page.
fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, c| {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::qr::testing::read_text;

    fn sheet(codes: &[Zeroizing<String>]) -> Sheet<'_> {
        Sheet {
            date: "2026-11-22",
            host: "den<script>",
            location: "/mnt/my <disk>",
            opens_with: OpensWith::Passphrase,
            kit: "-----BEGIN-----\n<&>\n-----END-----\n",
            codes,
        }
    }

    #[test]
    fn the_text_has_instructions_and_codes_and_fits_a_terminal() {
        let codes = [Zeroizing::new("first".to_owned()), Zeroizing::new("second".to_owned())];
        let text = text(&sheet(&codes), false).unwrap();

        assert!(text.contains("VAULT_LOCATION='/mnt/my <disk>'") && text.contains("-----BEGIN-----"));
        assert!(text.lines().all(|line| line.chars().count() <= 80));
        let (_, first) = text.split_once("QR code 1 of 2:\n").unwrap();
        let (first, second) = first.split_once("QR code 2 of 2:\n").unwrap();
        assert_eq!((read_text(first), read_text(second)), ("first".to_owned(), "second".to_owned()));
    }

    #[test]
    fn the_page_runs_nothing_and_loads_nothing() {
        let page = html(&sheet(&[Zeroizing::new("first".to_owned())])).unwrap();

        assert!(!page.contains("<script") && page.contains("den&lt;script&gt;"));
        assert!(page.contains("&lt;&amp;&gt;") && page.contains("default-src 'none'"));
        assert!(!page.replace("http://www.w3.org/2000/svg", "").contains("http://"));
    }
}
