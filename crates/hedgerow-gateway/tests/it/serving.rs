//! `hedgerow serve`, `check`, `explain` and `schema`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, Stdio};

use serde_json::Value;

use crate::command::{hedgerow, scratch, text};

const GOOD: &str = "listen = \"127.0.0.1:0\"\n[[upstream]]\nname = \"up\"\nurl = \"http://127.0.0.1:9/v1\"\n\
                    key_style = \"none\"\n[[model]]\nname = \"first\"\nentries = [{ upstream = \"up\" }]\n";

/// The command that serves, killed if it is not stopped.
struct Serving {
    child: Child,
    said: BufReader<ChildStderr>,
    address: String,
}

impl Serving {
    fn start(arguments: &[&str]) -> Self {
        let mut child = hedgerow("serve", arguments)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut said = BufReader::new(child.stderr.take().expect("it is piped"));
        let line = line(&mut said);
        let address = line.split_once("http://").expect(&line).1.trim().to_owned();
        Self {
            child,
            said,
            address,
        }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
        )
        .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &id])
            .status();
        assert!(sent.expect("kill runs").success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line(said: &mut impl BufRead) -> String {
    let mut line = String::new();
    said.read_line(&mut line).expect("it speaks");
    line
}

/// Until it says so.
fn until(said: &mut impl BufRead, wanted: &str) {
    let mut all = String::new();
    while !all.contains(wanted) {
        let line = line(said);
        assert!(!line.is_empty(), "{wanted} is not in\n{all}");
        all += &line;
    }
}

fn file(name: &str, contents: &str) -> String {
    let path = scratch(name);
    std::fs::write(&path, contents).expect("it can be written");
    path.to_str().expect("a path").to_owned()
}

#[test]
fn one_upstream_is_served_without_a_file_and_sigterm_ends_it() {
    let mut serving = Serving::start(&[
        "--upstream",
        "http://127.0.0.1:9/v1",
        "--key-style",
        "none",
        "--listen",
        "127.0.0.1:0",
    ]);
    for path in ["/health", "/ready"] {
        assert!(serving.get(path).starts_with("HTTP/1.1 200"));
    }
    let page = serving.get("/metrics");
    assert!(
        page.contains("# TYPE hedgerow_requests_total counter"),
        "{page}"
    );
    assert!(serving.get("/v1/files").starts_with("HTTP/1.1 502"));
    serving.signal("TERM");
    let ended = serving.child.wait().expect("it ends");
    assert_eq!(ended.code(), Some(0));
    let mut rest = String::new();
    serving.said.read_to_string(&mut rest).expect("it speaks");
    assert!(rest.contains("closing"), "{rest}");
}

#[test]
fn sighup_and_a_changed_file_take_what_is_written_then() {
    let name = file("served.toml", GOOD);
    let mut serving = Serving::start(&["--config", &name]);
    assert!(serving.get("/v1/models").contains("\"first\""));
    std::fs::write(&name, GOOD.replace("first", "second")).expect("it can be written");
    serving.signal("HUP");
    until(&mut serving.said, "takes what is written now");
    assert!(serving.get("/v1/models").contains("\"second\""));
    // A mistake changes nothing.
    std::fs::write(&name, "nonsense = 1").expect("it can be written");
    serving.signal("HUP");
    until(&mut serving.said, "everything stays as it was");
    until(&mut serving.said, "line 1: nonsense");
    assert!(serving.get("/v1/models").contains("\"second\""));
    // Nobody says that the file has changed.
    let mut looked = 0;
    std::fs::write(&name, GOOD.replace("first", "third")).expect("it can be written");
    while !serving.get("/v1/models").contains("\"third\"") {
        looked += 1;
        assert!(looked < 30_000, "it does not look");
    }
}

#[test]
fn a_file_is_checked_and_told_without_serving_it() {
    let good = file("good.toml", GOOD);
    let checked = hedgerow("check", &[&good]).output().expect("it runs");
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
    assert!(text(&checked.stdout).contains("fine"));
    let bad = file("bad.toml", &GOOD.replace("key_style", "key_stile"));
    let checked = hedgerow("check", &[&bad]).output().expect("it runs");
    assert_eq!(checked.status.code(), Some(2));
    let errors = text(&checked.stderr);
    assert!(
        errors.contains("line 5: upstream[0].key_stile") && errors.contains("key_style"),
        "{errors}"
    );
    let told = hedgerow("explain", &["--config", &good])
        .output()
        .expect("it runs");
    let told = text(&told.stdout).to_owned();
    for wanted in [
        "[/v1/chat/completions]",
        "] hedge",
        "] retry",
        "] admission",
        "[/v1/*]",
    ] {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
    let schema = hedgerow("schema", &[]).output().expect("it runs");
    let schema: Value = serde_json::from_slice(&schema.stdout).expect("JSON");
    assert_eq!(schema["properties"]["listen"]["default"], "127.0.0.1:8080");
    assert!(schema["properties"]["upstream"]["items"]["properties"]["url"].is_object());
}

#[test]
fn what_cannot_be_served_says_what_to_write() {
    for (arguments, wanted) in [
        (
            vec!["--upstream", "nowhere", "--key-style", "none"],
            "upstream[0].url",
        ),
        (
            vec![
                "--upstream",
                "http://a.test",
                "--key-env",
                "NO_SUCH_VARIABLE_IS_SET",
            ],
            "NO_SUCH_VARIABLE_IS_SET",
        ),
        (
            vec!["--upstream", "http://a.test", "--key-style", "loud"],
            "authorization, x_api_key",
        ),
        (vec!["--config", "no-such-file.toml"], "no-such-file.toml"),
        (vec![], "--config"),
    ] {
        let output = hedgerow("serve", &arguments).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            text(&output.stderr).contains(wanted),
            "{}",
            text(&output.stderr)
        );
    }
}

#[test]
fn the_example_can_be_served_as_it_stands() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/hedgerow.toml");
    let mut check = hedgerow("check", &[path]);
    check
        .env("OPENAI_API_KEY", "a")
        .env("ANTHROPIC_API_KEY", "b");
    let checked = check.output().expect("it runs");
    assert!(
        text(&checked.stdout).contains("fine"),
        "{}",
        text(&checked.stderr)
    );
}
