//! Programs in C against the library that is built from this tree.

use crate::scratch::Scratch;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// What every program is compiled with: the header has to be clean under all of it.
const FLAGS: [&str; 6] = ["-g", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"];

/// Where the repository is.
///
/// # Panics
/// Never: this crate lies in it.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the workspace")
}

/// The shared library, built if it is not yet.
///
/// # Panics
/// If it cannot be built.
#[must_use]
pub fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let test = std::env::current_exe().expect("a test is a file");
        let profile = test.ancestors().nth(2).expect("a test lies in the folder of its build");
        // Cargo tells its tests where it is; somebody who starts a test by hand has it in the path.
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(["build", "--quiet", "--package", "slipring-ffi"]).current_dir(root());
        if profile.ends_with("release") {
            command.arg("--release");
        }
        let built = command.env("CARGO_TARGET_DIR", profile.parent().expect("a folder above")).status();
        assert!(built.expect("start cargo").success(), "the library was not built");
        profile.join("libslipring.so")
    })
}

/// Whether a tool is there; where not, says that what needs it is skipped.
#[must_use]
pub fn has(tool: &str) -> bool {
    let there = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !there {
        println!("skipped: there is no {tool} here");
    }
    there
}

/// A program in C that was compiled.
#[derive(Debug)]
pub struct Program {
    path: String,
    scratch: Scratch,
}

impl Program {
    /// Compiles `source`, a path in the repository, with `more` flags: C++ by its `.cpp`, else C.
    ///
    /// # Panics
    /// If that fails, with what the compiler says.
    #[must_use]
    pub fn compile(source: &str, more: &[&str]) -> Self {
        let scratch = Scratch::new();
        std::os::unix::fs::symlink(library(), scratch.path("libslipring.so.0")).expect("a link in our directory");
        let path = scratch.path("program");
        let is_cpp = source.ends_with(".cpp");
        let (compiler, standard) = if is_cpp { ("c++", "-std=c++17") } else { ("cc", "-std=gnu99") };
        let output = Command::new(compiler)
            .arg(standard)
            .args(FLAGS)
            .args(more)
            .arg("-I")
            .arg(root().join("include"))
            .args(["-o", &path])
            .arg(root().join(source))
            .arg(library())
            .args(["-lpthread", "-Wl,-rpath,$ORIGIN"])
            .output()
            .expect("run the compiler");
        assert!(output.status.success(), "{source}: {}", String::from_utf8_lossy(&output.stderr));
        Self { path, scratch }
    }

    /// An address in this program's own directory.
    #[must_use]
    pub fn address(&self) -> String {
        self.scratch.path("name")
    }

    /// How to start it, with its own directory for names.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.env("SLIPRING_RUNTIME_DIR", self.scratch.dir());
        command
    }

    /// How to start it under another program.
    #[must_use]
    pub fn command_under(&self, words: &[&str]) -> Command {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(&self.path).env("SLIPRING_RUNTIME_DIR", self.scratch.dir());
        command
    }
}

/// Asserts that a program has ended well, and gives what it said.
///
/// # Panics
/// If it has not, with what it said.
pub fn must_end_well(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.ends_with("done\n"), "{}: {text}{errors}", output.status);
    text
}

/// Builds the examples in `folder` and runs them as a newcomer does, against the library of this tree.
///
/// # Panics
/// If one does not end well, does not say what it has to, or leaves a name behind.
pub fn run_examples(folder: &str, flags: &[&str], said: &[&str]) {
    let (built, names) = (Scratch::new(), Scratch::new());
    let lib = library().parent().expect("a library lies in a folder").display().to_string();
    let output = Command::new("make")
        .args(["-s", "-C"])
        .arg(root().join(folder))
        .args(["run", "GIVEN=1", &format!("LIB={lib}"), &format!("OUT={}", built.dir().display())])
        .args(flags)
        .env("SLIPRING_RUNTIME_DIR", names.dir())
        .output()
        .expect("run make");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for said in said {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert_eq!(std::fs::read_dir(names.dir()).expect("our directory").count(), 0, "a name was left behind");
}
