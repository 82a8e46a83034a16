//! A file that survives what processes and disks do to it.

#![expect(clippy::unwrap_used, reason = "a failed step of a test may panic")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use hedgerow_cache::{Digest, DigestBuilder, DiskError, DiskStore, Entry, Stamp, Store};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::tempdir;
use tokio::time::Instant;

const NOW: Stamp = Stamp::from_millis(1_000);

fn key(n: u64) -> Digest {
    DigestBuilder::new("test").part(&n.to_le_bytes()).finish()
}

/// The only value that key may have: other lengths and bytes for each.
fn value(n: u64) -> Vec<u8> {
    (0..n * 37 % 3_000).map(|at| (at * 7 + n) as u8).collect()
}

fn entry(n: u64) -> Entry<Vec<u8>> {
    Entry {
        value: value(n),
        stored: NOW,
        fresh_until: NOW.after(std::time::Duration::from_secs(60)),
        keep_until: NOW.after(std::time::Duration::from_secs(3_600)),
    }
}

async fn got(store: &DiskStore, n: u64) -> Option<Vec<u8>> {
    let got = store
        .get(&key(n), NOW)
        .wait()
        .await
        .expect("a get succeeds");
    got.map(|entry| entry.value)
}

#[tokio::test]
async fn what_was_offered_is_found_before_it_is_written() {
    let folder = tempdir().unwrap();
    let store = DiskStore::open(folder.path().join("answers")).unwrap();
    for n in 0..500 {
        store.offer(key(n), entry(n)).unwrap();
        assert_eq!(got(&store, n).await, Some(value(n)), "{n}");
    }
    // Over its own time it waits as well as in the file.
    let late = NOW.after(std::time::Duration::from_secs(3_600));
    assert_eq!(store.get(&key(499), late).wait().await.unwrap(), None);
    let newer = Entry {
        value: b"newer".to_vec(),
        ..entry(7)
    };
    store.offer(key(7), newer.clone()).unwrap();
    assert_eq!(got(&store, 7).await, Some(newer.value.clone()));
    store.flush().await.unwrap();
    assert_eq!(got(&store, 7).await, Some(newer.value));
    store.offer(key(8), entry(9)).unwrap();
    store.remove(&key(8)).wait().await.unwrap();
    assert_eq!(got(&store, 8).await, None);
}

/// Not a promise: what the tests below run as another process. It stores from a number on, says each
/// acknowledgement, and does not end by itself.
#[test]
fn child() {
    let Ok(path) = std::env::var("HEDGEROW_DISK_CHILD") else {
        return;
    };
    let from: u64 = std::env::var("HEDGEROW_DISK_FROM")
        .unwrap()
        .parse()
        .unwrap();
    let store = DiskStore::builder(path).max_bytes(1 << 30).open().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut out = std::io::stdout().lock();
        for n in from.. {
            // Groups of different sizes are under way.
            let first = from + (n - from) * 16;
            let puts: Vec<_> = (first..first + 16)
                .map(|n| (n, store.put(key(n), entry(n))))
                .collect();
            for (n, put) in puts {
                put.wait().await.unwrap();
                writeln!(out, "ack {n}").unwrap();
                out.flush().unwrap();
            }
        }
    });
}

/// Starts the child, lets it acknowledge so many, and kills it. All that it acknowledged.
fn killed_after(path: &std::path::Path, from: u64, acks: usize) -> Vec<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "disk::child", "--nocapture", "--test-threads=1"])
        .env("HEDGEROW_DISK_CHILD", path)
        .env("HEDGEROW_DISK_FROM", from.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acked = Vec::new();
    for line in lines {
        let line = line.unwrap();
        let Some((_, n)) = line.split_once("ack ") else {
            continue;
        };
        acked.push(n.parse().unwrap());
        if acked.len() == acks {
            // SIGKILL: nothing in it runs any more.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    acked
}

/// F5.
#[tokio::test]
async fn killed_at_fifty_points_it_has_every_acknowledged_entry_whole() {
    let seed = 0x5eed;
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let folder = tempdir().unwrap();
    let path = folder.path().join("store");
    let mut acked = Vec::new();
    for round in 0..50 {
        let new = killed_after(&path, round * 1_000_000, rng.random_range(1..=120));
        assert!(!new.is_empty());
        acked.extend(new);
        let store = DiskStore::builder(&path).max_bytes(1 << 30).open().unwrap();
        for n in &acked {
            assert_eq!(
                got(&store, *n).await,
                Some(value(*n)),
                "entry {n} after round {round}"
            );
        }
        // Those of the group that was under way are there whole, or not at all.
        let last = acked.last().copied().unwrap();
        for n in last..last + 40 {
            let found = got(&store, n).await;
            assert!(
                found.is_none() || found == Some(value(n)),
                "entry {n} after round {round}"
            );
        }
        assert!(store.stats().entries >= acked.len() as u64);
    }
    println!("{} acknowledged entries over 50 kills", acked.len());
}

/// What this process has read from files so far.
fn bytes_read() -> u64 {
    let io = fs::read_to_string("/proc/self/io").expect("Linux counts it");
    let line = io.lines().find_map(|line| line.strip_prefix("rchar: "));
    line.and_then(|text| text.parse().ok()).expect("a number")
}

#[tokio::test]
async fn after_a_kill_a_large_file_is_opened_by_reading_a_bounded_part_of_it() {
    const ENTRIES: usize = 100_000;
    let folder = tempdir().unwrap();
    let path = folder.path().join("store");
    let all = if std::env::var_os("HEDGEROW_LONG").is_some() {
        ENTRIES
    } else {
        ENTRIES / 5
    };
    let acked = killed_after_filling(&path, all);
    let size = fs::metadata(&path).unwrap().len();
    let (before, start) = (bytes_read(), Instant::now());
    let store = DiskStore::builder(&path).max_bytes(1 << 30).open().unwrap();
    let (took, read) = (start.elapsed(), bytes_read() - before);
    println!("{acked} entries, {size} bytes: opened in {took:?}, {read} bytes read");
    assert!(read < size / 8, "{read} of {size} bytes");
    assert!(store.stats().entries >= acked as u64);
}

fn killed_after_filling(path: &std::path::Path, acks: usize) -> usize {
    let store = DiskStore::builder(path).max_bytes(1 << 30).open().unwrap();
    let runtime = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            for group in 0..acks.div_ceil(1_000) as u64 {
                let puts: Vec<_> = (group * 1_000..(group + 1) * 1_000)
                    .map(|n| store.put(key(1 << 40 | n), entry(n)))
                    .collect();
                for put in puts {
                    put.wait().await.unwrap();
                }
            }
        });
    });
    runtime.join().unwrap();
    acks + killed_after(path, 0, 64).len()
}

#[tokio::test]
async fn a_second_process_is_refused_at_once_with_the_two_ways_out() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("store");
    let _first = DiskStore::open(&path).unwrap();
    let refused = DiskStore::open(&path).unwrap_err();
    assert!(matches!(refused, DiskError::InUse { .. }));
    let text = refused.to_string();
    assert!(
        text.contains("a file of its own") && text.contains("Redis"),
        "{text}"
    );

    // And from another process, which then panics with it.
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "disk::child", "--nocapture", "--test-threads=1"])
        .env("HEDGEROW_DISK_CHILD", &path)
        .env("HEDGEROW_DISK_FROM", "0")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("InUse"), "{said}");
}

async fn filled(path: &std::path::Path, entries: u64) {
    let store = DiskStore::open(path).unwrap();
    let puts: Vec<_> = (0..entries).map(|n| store.put(key(n), entry(n))).collect();
    for put in puts {
        put.wait().await.unwrap();
    }
}

/// Opens a damaged file, if that can be done, and asks for everything: no panic, and no wrong answer.
/// True if something was noticed.
async fn survives(path: &std::path::Path, entries: u64, what: &str) -> bool {
    let store = match DiskStore::open(path) {
        Ok(store) => store,
        Err(DiskError::Damaged { .. } | DiskError::Format { .. }) => return true,
        Err(other) => panic!("{what}: {other:?}"),
    };
    let mut noticed = false;
    for n in 0..entries {
        match store.get(&key(n), NOW).wait().await {
            Ok(Some(found)) => assert_eq!(found.value, value(n), "{what}: a wrong answer for {n}"),
            Ok(None) | Err(_) => noticed = true,
        }
    }
    // And it may be written to, or say that it may not.
    noticed |= store.put(key(0), entry(0)).wait().await.is_err();
    noticed
}

#[tokio::test]
async fn a_truncated_file_gives_a_clear_error_or_less_and_never_a_wrong_answer() {
    const ENTRIES: u64 = 300;
    let folder = tempdir().unwrap();
    let whole = folder.path().join("whole");
    filled(&whole, ENTRIES).await;
    let bytes = fs::read(&whole).unwrap();
    let path = folder.path().join("cut");
    let mut noticed = 0;
    let cuts = 40;
    for n in 0..cuts {
        let length = 1 + (bytes.len() - 2) * n / cuts;
        fs::write(&path, &bytes[..length]).unwrap();
        noticed += usize::from(survives(&path, ENTRIES, &format!("cut at {length}")).await);
    }
    println!("{noticed} of {cuts} cuts were noticed");
    assert!(noticed >= cuts * 9 / 10);
}

#[tokio::test]
async fn flipped_bytes_never_give_a_wrong_answer() {
    const ENTRIES: u64 = 300;
    let seed = 0xf11b;
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let folder = tempdir().unwrap();
    let whole = folder.path().join("whole");
    filled(&whole, ENTRIES).await;
    let bytes = fs::read(&whole).unwrap();
    let path = folder.path().join("flipped");
    for _ in 0..60 {
        let mut bytes = bytes.clone();
        // Half of them near the beginning, where the file says what it is.
        let reach = if rng.random_bool(0.5) {
            8_192
        } else {
            bytes.len()
        };
        let (at, run) = (
            rng.random_range(0..reach.min(bytes.len())),
            rng.random_range(1..64),
        );
        for byte in bytes.iter_mut().skip(at).take(run) {
            *byte ^= rng.random_range(1..=255_u8);
        }
        fs::write(&path, &bytes).unwrap();
        survives(&path, ENTRIES, &format!("{run} flipped at {at}")).await;
    }
}

#[tokio::test]
async fn what_is_no_store_is_refused_or_put_aside() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("store");
    fs::write(&path, b"this is a shopping list, not a store").unwrap();
    let refused = DiskStore::open(&path).unwrap_err();
    assert!(matches!(refused, DiskError::Damaged { .. }), "{refused:?}");
    assert!(
        refused.to_string().contains("start_afresh_if_damaged()"),
        "{refused}"
    );

    let store = DiskStore::builder(&path)
        .start_afresh_if_damaged()
        .open()
        .unwrap();
    store.put(key(1), entry(1)).wait().await.unwrap();
    assert_eq!(got(&store, 1).await, Some(value(1)));
    let aside = fs::read(folder.path().join("store.damaged")).unwrap();
    assert!(aside.starts_with(b"this is a shopping list"));
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_no_damage() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("nowhere").join("store");
    let refused = DiskStore::builder(path)
        .start_afresh_if_damaged()
        .open()
        .unwrap_err();
    assert!(matches!(refused, DiskError::Io { .. }), "{refused:?}");
}

#[tokio::test]
async fn the_file_stays_in_proportion_to_its_bound() {
    const BOUND: u64 = 2 << 20;
    let folder = tempdir().unwrap();
    let path = folder.path().join("store");
    let store = DiskStore::builder(&path).max_bytes(BOUND).open().unwrap();
    for group in 0..30_u64 {
        let puts: Vec<_> = (0..200)
            .map(|n| store.put(key(group * 200 + n), entry(n + 1)))
            .collect();
        for put in puts {
            put.wait().await.unwrap();
        }
        assert!(store.stats().bytes <= BOUND);
    }
    let size = || fs::metadata(&path).unwrap().len();
    let before = size();
    store.compact().await.unwrap();
    println!("bound {BOUND}: file {before}, compacted {}", size());
    assert!(before <= 5 * BOUND, "{before}");
    assert!(size() <= 2 * BOUND, "{}", size());
    // Those that were stored first have gone; the last are there.
    assert_eq!(got(&store, 0).await, None);
    assert_eq!(got(&store, 29 * 200 + 199).await, Some(value(200)));
}

#[tokio::test]
async fn what_is_out_of_date_goes_with_the_next_writes() {
    let folder = tempdir().unwrap();
    let store = DiskStore::open(folder.path().join("store")).unwrap();
    for n in 0..20 {
        store.put(key(n), entry(n)).wait().await.unwrap();
    }
    let mut late = entry(99);
    late.stored = NOW.after(std::time::Duration::from_secs(4_000));
    late.keep_until = late.stored.after(std::time::Duration::from_secs(10));
    store.put(key(99), late).wait().await.unwrap();
    let stats = store.stats();
    assert_eq!((stats.entries, stats.expired, stats.evicted), (1, 20, 0));
}

#[tokio::test]
async fn offers_beyond_the_queue_are_lost_and_counted_and_puts_wait() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("store");
    let store = DiskStore::builder(path).max_waiting(4).open().unwrap();
    let offered: Vec<_> = (0..2_000).map(|n| store.offer(key(n), entry(n))).collect();
    let lost = offered.iter().filter(|offer| offer.is_err()).count() as u64;
    assert!(lost > 0);
    assert_eq!(store.stats().lost, lost);
    let puts: Vec<_> = (0..100).map(|n| store.put(key(n), entry(n))).collect();
    for put in puts {
        put.wait().await.unwrap();
    }
    store.flush().await.unwrap();
    for n in 0..100 {
        assert_eq!(got(&store, n).await, Some(value(n)));
    }
}

#[test]
fn the_last_handle_waits_until_everything_is_written() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("store");
    let store = DiskStore::open(&path).unwrap();
    for n in 0..500 {
        store.offer(key(n), entry(n)).unwrap();
    }
    drop(store);
    let store = DiskStore::open(&path).unwrap();
    assert_eq!(store.stats().entries, 500);
}
