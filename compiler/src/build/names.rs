//! Names of the guest as names in Rust.
//!
//! 1. What cannot stand in an identifier separates words, and words are
//!    written as Rust writes them: `getValue`, `get-value` and `wasi:get/value`
//!    become `get_value`, `get_value` and `wasi_get_value` as methods, and
//!    `wasi_snapshot_preview1` becomes `WasiSnapshotPreview1` as a trait. Letters
//!    of all scripts stay as they are; underscores at the ends fall away.
//! 2. What would begin with a digit begins with an underscore.
//! 3. A keyword becomes a raw identifier: `r#type`. Those that cannot be one
//!    (`self`), and names that the bindings need themselves, get an underscore
//!    at the end.
//! 4. A name of which nothing is left becomes `export_3`, `import_3`: its number
//!    in the module.
//!
//! If two names become the same that is an error, and the builder's `rename`
//! methods are the way out.

use heck::{ToSnakeCase as _, ToUpperCamelCase as _};
use proc_macro2::{Ident, Span};
use std::collections::BTreeMap;
use unicode_normalization::UnicodeNormalization as _;

/// Keywords that syn does not know as such.
const LATE_KEYWORDS: &[&str] = &["gen"];

/// The name of a function, field or parameter, if anything is left.
pub(super) fn snake(name: &str) -> Option<String> {
    finish(words(name).to_snake_case())
}

/// The name of a type, if anything is left.
pub(super) fn camel(name: &str) -> Option<String> {
    finish(words(name).to_upper_camel_case())
}

fn words(name: &str) -> String {
    // Rust warns of letters that are others in disguise: `ﬁ`, `Ⅰ`.
    name.nfkc().map(|c| if unicode_ident::is_xid_continue(c) { c } else { ' ' }).collect()
}

fn finish(name: String) -> Option<String> {
    let first = name.chars().next()?;
    Some(if unicode_ident::is_xid_start(first) { name } else { format!("_{name}") })
}

/// A name in the form in which Rust compares identifiers, where a letter with an
/// accent is one character and not two.
pub(super) fn composed(name: &str) -> String {
    name.nfc().collect()
}

/// A name, which must have the form of an identifier, as one.
pub(super) fn ident(name: &str, reserved: &[&str]) -> Option<Ident> {
    let name = &*composed(name);
    let name = name.strip_prefix("r#").unwrap_or(name);
    if reserved.contains(&name) || matches!(name, "self" | "Self" | "super" | "crate" | "_") {
        return syn::parse_str(&format!("{name}_")).ok();
    }
    if LATE_KEYWORDS.contains(&name) {
        return Some(Ident::new_raw(name, Span::call_site()));
    }
    syn::parse_str(name).or_else(|_| syn::parse_str(&format!("r#{name}"))).ok()
}

/// Names that must differ from each other.
pub(super) struct Names {
    /// What they are, in the plural.
    what: String,
    /// The builder's method that changes one.
    way_out: String,
    taken: BTreeMap<String, String>,
}

impl Names {
    pub fn new(what: impl Into<String>, way_out: impl Into<String>) -> Names {
        Names { what: what.into(), way_out: way_out.into(), taken: BTreeMap::new() }
    }

    /// Takes an identifier for a name.
    ///
    /// # Errors
    /// The message, if another name has it.
    pub fn take(&mut self, ident: &Ident, original: &str) -> Result<(), String> {
        match self.taken.insert(ident.to_string(), original.to_owned()) {
            None => Ok(()),
            Some(other) => Err(format!(
                "the {} `{other}` and `{original}` would both be called `{ident}`; give one of them another name with `{}`",
                self.what,
                self.way_out.replace("{}", &original.escape_debug().to_string())
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(name: &str) -> String {
        ident(&snake(name).unwrap(), &["exports"]).unwrap().to_string()
    }

    #[test]
    fn names_of_other_conventions_become_rust_ones() {
        for (name, expected) in [
            ("add", "add"),
            ("getValue", "get_value"),
            ("get-value", "get_value"),
            ("HTTPServer", "http_server"),
            ("wasi:http/types@0.2.0#fields.get", "wasi_http_types_0_2_0_fields_get"),
            ("_start", "start"),
            ("__heap_base", "heap_base"),
            ("2nd", "_2nd"),
            ("größe", "größe"),
            ("名前", "名前"),
            ("r²", "r2"),
            ("ﬁle", "file"),
            ("\u{2160}", "i"),
        ] {
            assert_eq!(method(name), expected, "{name}");
        }
        assert_eq!(camel("wasi_snapshot_preview1").as_deref(), Some("WasiSnapshotPreview1"));
        assert_eq!(camel("env").as_deref(), Some("Env"));
        assert_eq!(snake("!?"), None);
        assert_eq!(snake(""), None);
        assert_eq!(snake("___"), None);
    }

    #[test]
    fn names_that_rust_takes_for_one_are_one() {
        let (one, two) = ("caf\u{e9}", "cafe\u{301}");
        assert_eq!(method(one), method(two));
        assert_eq!(camel(one), camel(two));
        assert_eq!(ident(one, &[]), ident(two, &[]));
        // The sign for ohms, and the letter.
        assert_eq!(method("\u{2126}"), method("\u{3a9}"));
    }

    #[test]
    fn keywords_become_raw_and_reserved_names_get_an_underscore() {
        for (name, expected) in [
            ("type", "r#type"),
            ("gen", "r#gen"),
            ("async", "r#async"),
            ("try", "r#try"),
            ("self", "self_"),
            ("Self", "self_"),
            ("crate", "crate_"),
            ("super", "super_"),
            ("exports", "exports_"),
            ("union", "union"),
        ] {
            assert_eq!(method(name), expected, "{name}");
        }
    }

    #[test]
    fn a_clash_names_both_and_the_way_out() {
        let mut names = Names::new("exports", ".rename_export(\"{}\", \"...\")");
        let ident = ident("get_value", &[]).unwrap();
        names.take(&ident, "getValue").unwrap();
        let message = names.take(&ident, "get-value").unwrap_err();
        assert_eq!(
            message,
            "the exports `getValue` and `get-value` would both be called `get_value`; give one of them another name with `.rename_export(\"get-value\", \"...\")`"
        );
    }
}
