//! Random faults in upstream and clients, with new files and a shutdown in the middle: every request ends in exactly
//! one way, and nothing is left over. A program of its own: it counts its descriptors.
//!
//! It runs for 6 s, or with `HEDGEROW_LONG` set for 60 s.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hedgerow_gateway::{Gateway, GatewayConfig};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

const CLIENTS: u64 = 24;
const CHAT: &str = "/v1/chat/completions";

/// How the clients' requests ended.
#[derive(Debug, Default)]
struct Ends {
    /// Asked by whoever waits for the end.
    asked: AtomicU64,
    answered: AtomicU64,
    /// The answer broke off.
    broken: AtomicU64,
    /// No answer at all: only once the gateway closes.
    refused: AtomicU64,
    /// Sent, at least in part, by whoever leaves early.
    left: AtomicU64,
}

fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

fn load(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// Reads a request, as much of it as comes, and answers as chance has it.
async fn upstream(mut stream: TcpStream, seed: u64) -> io::Result<()> {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let mut read = 0;
        // A request of these clients is short, and in one piece or two.
        loop {
            let more = stream.read(&mut buffer[read..]).await?;
            if more == 0 {
                return Ok(());
            }
            read += more;
            if buffer[..read].ends_with(b"}") {
                break;
            }
        }
        let ok = |body: &str, length: usize| {
            format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
            )
        };
        match chance.random_range(0..12) {
            // Answers, sooner or later.
            0..=3 => stream.write_all(ok("{\"a\":1}", 7).as_bytes()).await?,
            4 => {
                sleep(Duration::from_millis(chance.random_range(20..400))).await;
                stream.write_all(ok("{\"a\":1}", 7).as_bytes()).await?;
            }
            5 => {
                let status = [500, 503, 429, 400, 529][chance.random_range(0..5)];
                let text = format!(
                    "HTTP/1.1 {status} no\r\nretry-after-ms: 5\r\ncontent-length: 2\r\n\r\n{{}}"
                );
                stream.write_all(text.as_bytes()).await?;
            }
            // Half a body, and gone.
            6 => {
                stream.write_all(ok("{\"a\"", 7).as_bytes()).await?;
                return Ok(());
            }
            // A stream, whole or broken off, with pauses.
            7 | 8 => {
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
                stream.write_all(head.as_bytes()).await?;
                for _ in 0..chance.random_range(1..20) {
                    let event = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n";
                    let chunk = format!("{:x}\r\n{event}\r\n", event.len());
                    stream.write_all(chunk.as_bytes()).await?;
                    sleep(Duration::from_millis(chance.random_range(0..10))).await;
                }
                if chance.random_bool(0.5) {
                    return Ok(());
                }
                stream.write_all(b"0\r\n\r\n").await?;
            }
            // Gone before the head; with a reset.
            9 => {
                stream.set_zero_linger()?;
                return Ok(());
            }
            // Says what is no HTTP.
            10 => {
                stream.write_all(b"lorem ipsum\r\n\r\n").await?;
                return Ok(());
            }
            // Says nothing for a while.
            _ => {
                sleep(Duration::from_millis(700)).await;
                return Ok(());
            }
        }
    }
}

async fn serve(listener: TcpListener, seed: u64) {
    let mut connections = JoinSet::new();
    for at in 0.. {
        if let Ok((stream, _)) = listener.accept().await {
            connections.spawn(upstream(stream, seed.wrapping_add(at)));
        }
        while connections.try_join_next().is_some() {}
    }
}

/// One client, until `end`: it waits for answers, or leaves, or reads slowly, or says nonsense.
async fn client(address: SocketAddr, seed: u64, end: Instant, ends: Arc<Ends>) {
    let mut chance = StdRng::seed_from_u64(seed);
    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    while Instant::now() < end {
        let url = format!("http://{address}{CHAT}");
        let ask = client.post(url).body("{\"model\":\"m\",\"stream\":true}");
        match chance.random_range(0..10) {
            0..=5 => {
                add(&ends.asked);
                match ask.send().await {
                    Err(_) => add(&ends.refused),
                    Ok(answer) => match answer.bytes().await {
                        Ok(_) => add(&ends.answered),
                        Err(_) => add(&ends.broken),
                    },
                }
            }
            // Leaves.
            6 | 7 => {
                add(&ends.left);
                let patience = Duration::from_millis(chance.random_range(0..60));
                let _ = timeout(patience, async { ask.send().await?.bytes().await }).await;
            }
            // Sends half a request, or nonsense, and goes.
            8 => {
                add(&ends.left);
                if let Ok(mut stream) = TcpStream::connect(address).await {
                    let half: [&[u8]; 3] = [
                        b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 99\r\n\r\n{",
                        b"POST /v1/chat/compl",
                        b"\0\0\0\0\r\n\r\n",
                    ];
                    let _ = stream.write_all(half[chance.random_range(0..3)]).await;
                    sleep(Duration::from_millis(chance.random_range(0..20))).await;
                }
            }
            // Reads slowly, and not to the end.
            _ => {
                add(&ends.left);
                if let Ok(mut answer) = ask.send().await {
                    for _ in 0..chance.random_range(0..4) {
                        sleep(Duration::from_millis(5)).await;
                        let _ = answer.chunk().await;
                    }
                }
            }
        }
    }
}

fn config(upstreams: &[SocketAddr], depth: usize) -> GatewayConfig {
    let mut file = String::from("listen = \"127.0.0.1:0\"\ndrain = \"3s\"\n");
    for (at, address) in upstreams.iter().enumerate() {
        file += &format!(
            "[[upstream]]\nname = \"u{at}\"\nurl = \"http://{address}\"\nkey_style = \"none\"\n"
        );
    }
    file += "[[model]]\nname = \"m\"\nentries = [{ upstream = \"u0\" }, { upstream = \"u1\" }]\n";
    file += &format!(
        "[[route]]\npath = {CHAT:?}\ntotal_timeout = \"2s\"\n\
         [[route.layer]]\nkind = \"idempotent_paths\"\npaths = [{CHAT:?}]\n\
         [[route.layer]]\nkind = \"replay_body\"\n\
         [[route.layer]]\nkind = \"retry\"\nbase = \"5ms\"\nprotocol = \"openai\"\nattempt_timeout = \"500ms\"\n\
         [[route.layer]]\nkind = \"hedge\"\npercentile = 90\nmin = \"5ms\"\nprotocol = \"openai\"\n\
         [[route.layer]]\nkind = \"admission\"\nconcurrency = 16\nmax_depth = {depth}\nmax_wait = \"300ms\"\n\
         [[route.layer]]\nkind = \"await_first\"\n"
    );
    GatewayConfig::from_toml(&file).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The sums of the page of metrics: came in, and each way to end.
async fn counts(gateway: &Gateway) -> (u64, Vec<(String, u64)>) {
    let url = format!("http://{}/metrics", gateway.address());
    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let page = client
        .get(url)
        .send()
        .await
        .expect("a page")
        .text()
        .await
        .expect("a text");
    let of = |line: &str| -> Option<(String, u64)> {
        let (labels, count) = line.rsplit_once(' ')?;
        let count = count.parse().ok()?;
        labels.contains(CHAT).then(|| (labels.to_owned(), count))
    };
    let mut came = 0;
    let mut ends = Vec::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        if line.starts_with("hedgerow_requests_total") {
            came = of(line).map_or(came, |(_, count)| count);
        } else if line.starts_with("hedgerow_requests_ended_total") {
            ends.extend(of(line));
        }
    }
    (came, ends)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_ends_in_one_way_and_nothing_is_left() {
    let seed: u64 = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(1);
    let long = std::env::var_os("HEDGEROW_LONG").is_some();
    let time = Duration::from_secs(if long { 60 } else { 6 });
    println!("seed {seed}, {time:?}");
    let mut servers = JoinSet::new();
    let mut upstreams = Vec::new();
    for at in 0..2 {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        upstreams.push(listener.local_addr().expect("an address"));
        servers.spawn(serve(
            listener,
            seed.wrapping_mul(1_000).wrapping_add(at << 32),
        ));
    }
    sleep(Duration::from_millis(50)).await;
    let before = (Handle::current().metrics().num_alive_tasks(), descriptors());

    let gateway = Gateway::bind(&config(&upstreams, 8))
        .await
        .expect("it listens");
    let ends: Arc<Ends> = Arc::default();
    let end = Instant::now() + time;
    let mut clients = JoinSet::new();
    for at in 0..CLIENTS {
        let seed = seed.wrapping_mul(7_919).wrapping_add(at);
        clients.spawn(client(gateway.address(), seed, end, Arc::clone(&ends)));
    }
    // New files meanwhile.
    for depth in 9.. {
        if Instant::now() + Duration::from_millis(500) > end {
            break;
        }
        sleep(Duration::from_millis(500)).await;
        gateway
            .reload(&config(&upstreams, depth))
            .expect("it is fine");
    }
    while clients.join_next().await.is_some() {}
    // What was left is noticed at the next write or read.
    let mut seen = counts(&gateway).await;
    for _ in 0..1_000 {
        if seen.1.iter().map(|(_, count)| count).sum::<u64>() == seen.0 {
            break;
        }
        sleep(Duration::from_millis(10)).await;
        seen = counts(&gateway).await;
    }
    let (came, by_end) = seen;
    println!("{ends:?}\ncame {came}: {by_end:?}");
    let sum: u64 = by_end.iter().map(|(_, count)| count).sum();
    assert_eq!(sum, came, "each ends in exactly one way");
    // As its clients see it.
    let (asked, left) = (load(&ends.asked), load(&ends.left));
    assert_eq!(
        load(&ends.answered) + load(&ends.broken) + load(&ends.refused),
        asked
    );
    assert_eq!(load(&ends.refused), 0, "whoever waits has an answer");
    assert!(
        (asked..=asked + left).contains(&came),
        "{came} of {asked} + {left}"
    );
    let of = |end: &str| {
        let mut all = by_end
            .iter()
            .filter(|(labels, _)| labels.contains(&format!("\"{end}\"")));
        all.next().map_or(0, |(_, count)| *count)
    };
    let answered = ["2xx", "3xx", "4xx", "5xx"].map(of).iter().sum::<u64>();
    assert!((load(&ends.answered)..=load(&ends.answered) + left).contains(&answered));
    assert!((load(&ends.broken)..=load(&ends.broken) + left).contains(&of("broken")));
    assert!(of("cancelled") <= left);
    assert!(load(&ends.answered) > 100, "there was something to see");

    gateway.close().await;
    // Idle connections to upstreams are dropped with their pool.
    for _ in 0..500 {
        let now = (Handle::current().metrics().num_alive_tasks(), descriptors());
        if now.0 <= before.0 && now.1 <= before.1 {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    let now = (Handle::current().metrics().num_alive_tasks(), descriptors());
    panic!("tasks and descriptors: {before:?} before, {now:?} after");
}
