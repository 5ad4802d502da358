//! Addresses: what users type to say where a listener is.
//!
//! A bare name `[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}` lives in the runtime directory; anything with a `/` is a path;
//! `ipc://` stands before either. Parsing looks at the text alone, never at the file system.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Cause, Error};
use crate::sys::socket::LONGEST_FILE_NAME;

/// Where a listener is to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A name in the runtime directory.
    Name(String),
    /// A socket file of the user's choice.
    Path(PathBuf),
}

/// The longest bare name, in characters.
const LONGEST_NAME: usize = 64;

/// The longest path that the kernel takes, in bytes: `PATH_MAX` less its NUL (limits.h).
const LONGEST_PATH: usize = 4095;

const _: () = assert!(LONGEST_FILE_NAME == 83, "the text below names the number");
const LONG_FILE_NAME: &str = "the last part of a path has at most 83 bytes, for the sake of sun_path";

impl Address {
    /// Reads an address, or says which of its rules it breaks.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let parsed = match text.split_once("://") {
            _ if text.is_empty() => Err("an address is a name, a path with a '/' in it, or ipc:// before either"),
            _ if text.contains('\0') => Err("an address has no NUL in it"),
            Some(("ipc", path)) if path.starts_with('/') => parse_path(path),
            Some(("ipc", "")) => Err("behind ipc:// stands a name or an absolute path"),
            Some(("ipc", name)) if name.contains('/') => Err("a path behind ipc:// is absolute: ipc:///directory/file"),
            Some(("ipc", name)) => parse_name(name),
            Some((scheme, _)) if !scheme.contains('/') => Err("the only scheme of an address is ipc://"),
            _ if text.contains('/') => parse_path(text),
            _ => parse_name(text),
        };
        parsed.map_err(|which| Error::new(Cause::InvalidArgument { which }, format!("the address {text:?}")))
    }

    /// The name of its socket file, without a directory.
    pub(super) fn file(&self) -> OsString {
        match self {
            Self::Name(name) => format!("{name}.sock").into(),
            Self::Path(path) => path.file_name().unwrap_or(OsStr::new("")).to_owned(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

fn parse_name(name: &str) -> Result<Address, &'static str> {
    if name.len() > LONGEST_NAME {
        return Err("a name has at most 64 characters");
    }
    if name.starts_with('.') {
        return Err("a name does not begin with a dot");
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
        return Err("a name has only the letters A-Z and a-z, digits, '.', '_' and '-'");
    }
    Ok(Address::Name(name.to_owned()))
}

fn parse_path(path: &str) -> Result<Address, &'static str> {
    if path.len() > LONGEST_PATH {
        return Err("a path has at most 4095 bytes");
    }
    match path.rsplit('/').next().unwrap_or("") {
        "" | "." | ".." => Err("a path ends in the name of a socket file, not of a directory"),
        file if file.len() > LONGEST_FILE_NAME => Err(LONG_FILE_NAME),
        _ => Ok(Address::Path(Path::new(path).to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths_with_and_without_their_scheme() {
        let longest = "a".repeat(64);
        for name in ["demo", "_", "-x", "0", "a.b_c-D9", "demo.sock", longest.as_str()] {
            let expected = Address::Name(name.to_owned());
            assert_eq!(Address::parse(name).expect("a name"), expected);
            assert_eq!(Address::parse(&format!("ipc://{name}")).expect("a name"), expected);
            assert_eq!(expected.to_string(), name);
        }
        for path in ["/tmp/x", "./x", "a/b", "../.hidden", "/a b/c:d", "/x://y"] {
            assert_eq!(Address::parse(path).expect("a path"), Address::Path(path.into()));
        }
        assert_eq!(Address::parse("ipc:///tmp/x").expect("a path"), Address::Path("/tmp/x".into()));
        assert_eq!(Address::parse("demo").expect("a name").file(), "demo.sock");
        assert_eq!(Address::parse("/tmp/x").expect("a path").file(), "x");
    }

    #[test]
    fn each_bad_form_says_what_is_wrong() {
        let (long_name, long_file, long_path) = ("a".repeat(65), format!("/{}", "a".repeat(84)), "/a".repeat(2048));
        let bad = [
            ("", "an address is"),
            ("a\0b", "no NUL"),
            ("/a\0b", "no NUL"),
            (".", "dot"),
            (".hidden", "dot"),
            ("a b", "letters"),
            ("é", "letters"),
            (long_name.as_str(), "64"),
            ("ipc://", "behind ipc://"),
            ("ipc://a/b", "absolute"),
            ("ipc://a b", "letters"),
            ("thread://x", "only scheme"),
            ("http://host:80/x", "only scheme"),
            ("://", "only scheme"),
            ("/", "not of a directory"),
            ("/tmp/", "not of a directory"),
            ("a/.", "not of a directory"),
            ("a/..", "not of a directory"),
            (long_file.as_str(), "83"),
            (long_path.as_str(), "4095"),
        ];
        for (text, says) in bad {
            let error = Address::parse(text).expect_err(text);
            assert!(matches!(error.cause(), Cause::InvalidArgument { which } if which.contains(says)), "{error}");
        }
    }
}
