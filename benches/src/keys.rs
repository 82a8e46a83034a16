//! The bench `keys`: what each ready-made key costs, and how the engines of a memory store keep a trace.

use std::hint::black_box;
use std::io::{self, Write};
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use hedgerow::cache::{HttpKey, KeyPolicy, Tenant, WholeRequest};
use http::Method;
use http_body_util::Full;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand_distr::{Distribution as _, Zipf};

use crate::instructions;

/// What `keys` is asked for.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Make the keys of one subject and measure nothing: what is run under valgrind
    #[arg(long, value_name = "SUBJECT", hide = true)]
    child: Option<usize>,

    /// Keys that the child makes
    #[arg(long, hide = true, default_value_t = 0)]
    calls: u64,
}

/// Calls of the shorter and of the longer child: a large body takes its time under valgrind.
const CALLS: [u64; 2] = [20, 120];

const SUBJECTS: [&str; 5] = [
    "a closure: a u64 that is its own key",
    "WholeRequest: a u64 and a text of 20 bytes",
    "HttpKey: GET, no body",
    "HttpKey: POST, JSON of 200 bytes",
    "HttpKey: POST, JSON of 20,000 bytes",
];

fn post(bytes: usize) -> http::Request<Full<Bytes>> {
    let text = "x".repeat(bytes.saturating_sub(120));
    let body = format!(
        r#"{{"model":"m","n":1,"temperature":0.5,"messages":[{{"role":"system","content":"be brief"}},{{"role":"user","content":"{text}"}}]}}"#
    );
    http::Request::post("https://llm.test/v1/chat/completions")
        .header("authorization", "Bearer sk-0123456789")
        .header("content-type", "application/json")
        .body(Full::new(body.into()))
        .expect("a valid request")
}

fn make(subject: usize, calls: u64) {
    let http = HttpKey::new(Tenant::header("authorization")).methods([Method::POST]);
    let plain = |n: &u64| Some(*n);
    let whole = WholeRequest::new("tenant");
    let request = match subject {
        2 => {
            let (mut head, _) = post(0).into_parts();
            head.method = Method::GET;
            http::Request::from_parts(head, Full::default())
        }
        3 => post(200),
        _ => post(20_000),
    };
    for n in 0..calls {
        match subject {
            0 => drop(black_box(plain.key(black_box(&n)))),
            1 => drop(black_box(
                whole.key(black_box(&(n, "twenty bytes of text"))),
            )),
            _ => drop(black_box(http.key(black_box(&request)))),
        }
    }
}

/// Runs the bench.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if let Some(subject) = options.child {
        make(subject, options.calls);
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = io::stdout().lock();
    if instructions::available() {
        writeln!(out, "{:48}{:>12}", "a key", "instructions")?;
        for (subject, title) in SUBJECTS.into_iter().enumerate() {
            let count = |calls| count(subject, calls);
            let [short, long] = CALLS;
            let each = (count(long)? - count(short)?) as f64 / (long - short) as f64;
            writeln!(out, "{title:48}{each:12.0}")?;
        }
    } else {
        writeln!(out, "{}", instructions::INSTALL)?;
    }
    writeln!(
        out,
        "\n{:48}{:>12}{:>12}",
        "hits of a zipf trace, seed 7", "quick_cache", "moka"
    )?;
    for exponent in [0.7, 0.9, 1.1] {
        let [quick, moka] = hit_ratios(exponent);
        let title = format!("1,000 of 100,000 keys, exponent {exponent}");
        writeln!(out, "{title:48}{quick:12.3}{moka:12.3}")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn hit_ratios(exponent: f64) -> [f64; 2] {
    const CALLS: u32 = 1_000_000;
    let keys = Zipf::new(100_000.0, exponent).expect("a valid law");
    let mut rng = StdRng::seed_from_u64(7);
    let trace: Vec<u64> = (0..CALLS).map(|_| keys.sample(&mut rng) as u64).collect();
    let quick = quick_cache::sync::Cache::<u64, ()>::new(1_000);
    let runtime = crate::drive::runtime().expect("a runtime");
    let moka = moka::future::Cache::<u64, ()>::new(1_000);
    let (mut of_quick, mut of_moka) = (0, 0);
    for key in &trace {
        match quick.get(key) {
            Some(()) => of_quick += 1,
            None => quick.insert(*key, ()),
        }
    }
    runtime.block_on(async {
        for key in &trace {
            match moka.get(key).await {
                Some(()) => of_moka += 1,
                None => moka.insert(*key, ()).await,
            }
        }
    });
    [of_quick, of_moka].map(|hits| f64::from(hits) / f64::from(CALLS))
}

fn count(subject: usize, calls: u64) -> anyhow::Result<u64> {
    let program = std::env::current_exe().context("finding this program")?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([
            "keys",
            "--child",
            &subject.to_string(),
            "--calls",
            &calls.to_string(),
        ])
        .stdin(Stdio::null())
        .output()
        .context("starting valgrind")?;
    instructions::collected(&output)
}
