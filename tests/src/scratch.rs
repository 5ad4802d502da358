//! A private directory for one test, so that no two tests meet at a name.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// A fresh directory of mode 0700, removed with all that is in it on drop.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes one. A directory of this name that a killed process with our number left is in nobody's use.
    #[must_use]
    pub fn new() -> Self {
        static NEXT: Mutex<u32> = Mutex::new(0);
        let number = {
            let mut next = NEXT.lock().expect("nobody panics while counting");
            *next += 1;
            *next
        };
        let path = std::env::temp_dir().join(format!("slipring-tests-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("make a directory that nobody else makes");
        let scratch = Self(path);
        scratch.set_mode(0o700);
        scratch
    }

    /// The directory itself.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.0
    }

    /// The path of `file` in it, as an address or an argument.
    #[must_use]
    pub fn path(&self, file: &str) -> String {
        self.0.join(file).to_str().expect("temporary directories have plain names").to_owned()
    }

    /// Changes who may enter the directory.
    pub fn set_mode(&self, mode: u32) {
        fs::set_permissions(&self.0, fs::Permissions::from_mode(mode)).expect("change the mode of our own directory");
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
