//! Wrong programs do not compile, and the compiler says what to write.
//!
//! Each file of `compile_fail/` is checked as a program of its own; its lines `// says: ...` must
//! all stand in what the compiler prints. Words are compared, not whole messages, so that another
//! compiler's layout does not matter.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const MANIFEST: &str = r#"
[package]
name = "wrong"
version = "0.0.0"
edition = "2024"
publish = false

[dependencies]
hedgerow = { path = "HEDGEROW", features = ["http"] }
http = "1"
tower = { version = "0.5", default-features = false, features = ["util"] }

[workspace]
"#;

/// Where the wrong programs are built: beside the workspace's own target folder.
fn workshop(root: &Path) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    target.join("compile-fail")
}

fn said(dir: &Path, program: &str) -> (bool, String) {
    let output = Command::new(env!("CARGO"))
        .args(["check", "--offline", "--quiet", "--bin", program])
        .current_dir(dir)
        .env("CARGO_TARGET_DIR", dir.join("target"))
        .env_remove("RUSTFLAGS")
        .output()
        .expect("cargo runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), text)
}

#[test]
fn wrong_programs_are_refused_with_what_to_write() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.parent().expect("the workspace");
    let dir = workshop(root);
    fs::create_dir_all(dir.join("src/bin")).expect("a writable target folder");
    let manifest = MANIFEST.replace("HEDGEROW", &root.join("crates/hedgerow").to_string_lossy());
    fs::write(dir.join("Cargo.toml"), manifest).expect("a writable target folder");
    fs::copy(root.join("Cargo.lock"), dir.join("Cargo.lock")).expect("a locked workspace");
    // One that is right, so that a broken workshop is not taken for a refusal.
    fs::write(
        dir.join("src/bin/right.rs"),
        "fn main() { let _ = hedgerow::HedgeLayer::off(); }",
    )
    .expect("a writable target folder");
    let (compiles, text) = said(&dir, "right");
    assert!(compiles, "{text}");

    let mut programs = 0;
    for entry in fs::read_dir(here.join("compile_fail")).expect("the folder is there") {
        let path = entry.expect("readable").path();
        let program = path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        fs::copy(&path, dir.join("src/bin").join(format!("{program}.rs"))).expect("copied");
        let (compiles, text) = said(&dir, &program);
        assert!(!compiles, "{program} compiles");
        // What the compiler wraps over lines is compared as one.
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let source = fs::read_to_string(&path).expect("readable");
        for line in source
            .lines()
            .filter_map(|line| line.strip_prefix("// says: "))
        {
            assert!(
                words(&text).contains(&words(line)),
                "{program} does not say {line:?}:\n{text}"
            );
        }
        programs += 1;
    }
    assert_eq!(programs, 6, "every program was checked");
}
