//! What holds for each of the usual clients, over HTTP/1 and HTTP/2.

use std::time::Duration;

use bytes::Bytes;
use hedgerow_tests::{Answer, Gate, Gated, PATIENCE, Server};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::Response;
use tokio::time::{Instant, timeout};
use tower::ServiceExt;

use crate::clients::{Ask, Body, Boxed, KINDS, Kind, Payload, Permit};
use crate::{SOON, first_hangs};

/// Soon enough that waiting for a control call makes sure that it is over.
const NOW: Duration = Duration::from_millis(1);

pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it does not hang")
}

async fn send(client: &Boxed, ask: Ask) -> Response<Body> {
    soon(client.clone().oneshot(ask)).await.expect("an answer")
}

async fn text(response: Response<Body>) -> String {
    let body = soon(response.into_body().collect())
        .await
        .expect("a whole body");
    String::from_utf8(body.to_bytes().to_vec()).expect("text")
}

/// Returns when a call that began after all others has been hedged.
async fn a_later_hedge(kind: Kind, delay: Duration) {
    let control = Server::start(|_| Answer::Never).await;
    let client = kind.hedged(&control, delay);
    tokio::select! {
        _ = client.oneshot(Ask::get(&control)) => panic!("nobody answers"),
        () = soon(control.received(2)) => {}
    }
}

#[expect(clippy::print_stdout, reason = "for information, beside the result")]
pub(crate) fn inform(kind: Kind, what: &str, figure: impl std::fmt::Debug) {
    println!("{kind:?}: {what}: {figure:?}");
}

#[tokio::test]
async fn every_client_is_hedged_and_its_loser_cancelled() {
    for kind in KINDS {
        let server = Server::start(first_hangs).await;
        let client = kind.hedged(&server, SOON);
        let response = send(&client, Ask::get(&server)).await;
        let won = Instant::now();
        soon(server.dropped(1)).await;
        inform(
            kind,
            "the server saw the loser dropped after",
            won.elapsed(),
        );
        assert_eq!(text(response).await, "answer 1", "{kind:?}");
        assert_eq!(server.requests(), 2, "{kind:?}");
    }
}

#[tokio::test]
async fn a_caller_that_leaves_cancels_every_attempt() {
    for kind in KINDS {
        let server = Server::start(|_| Answer::Never).await;
        let client = kind.hedged(&server, NOW);
        tokio::select! {
            _ = client.oneshot(Ask::get(&server)) => panic!("nobody answers"),
            () = soon(server.received(2)) => {}
        }
        soon(server.dropped(2)).await;
    }
}

#[tokio::test]
async fn the_winners_body_is_read_to_its_end_after_the_losers_are_gone() {
    for kind in KINDS {
        let server = Server::start(|n| {
            if n == 0 {
                Answer::Never
            } else {
                Answer::InChunks
            }
        })
        .await;
        let client = kind.hedged(&server, SOON);
        let response = send(&client, Ask::get(&server)).await;
        let mut body = response.into_body();
        let first = soon(body.frame())
            .await
            .expect("a chunk")
            .expect("no error");
        assert_eq!(first.into_data().expect("data"), "answer 1", "{kind:?}");
        soon(server.dropped(1)).await;
        drop(client);
        server.release();
        let rest = soon(body.collect()).await.expect("a whole body");
        assert_eq!(rest.to_bytes(), "answer 1answer 1", "{kind:?}");
    }
}

#[tokio::test]
async fn a_post_is_sent_twice_only_if_it_is_allowed() {
    for kind in KINDS {
        let server = Server::start(|_| Answer::Never).await;
        let client = kind.hedged(&server, NOW);
        tokio::select! {
            _ = client.clone().oneshot(Ask::post(&server, Permit::None)) => panic!("nobody answers"),
            () = soon(async {
                server.received(1).await;
                a_later_hedge(kind, NOW).await;
            }) => {}
        }
        assert_eq!(server.requests(), 1, "{kind:?}");
        for &permit in kind.permits() {
            let before = server.requests();
            tokio::select! {
                _ = client.clone().oneshot(Ask::post(&server, permit)) => panic!("nobody answers"),
                () = soon(server.received(before + 2)) => {}
            }
            let heads = server.heads().split_off(before);
            assert!(
                heads.iter().all(|head| head.starts_with("POST")),
                "{kind:?} {permit:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_body_that_arrives_is_sent_once_and_whole() {
    for kind in KINDS {
        let server = Server::start(|_| Answer::Now).await;
        let client = kind.hedged(&server, NOW);
        let gate = Gate::default();
        let frames = ["one ", "two ", "three"].map(|text| Frame::data(Bytes::from(text)));
        let ask = Ask::put(&server, Payload::Arriving(Gated::new(gate.clone(), frames)));
        let call = send(&client, ask);
        let open = async {
            server.received(1).await;
            a_later_hedge(kind, NOW).await;
            gate.open();
        };
        let (response, ()) = tokio::join!(call, soon(open));
        assert_eq!(text(response).await, "answer 0", "{kind:?}");
        assert_eq!(
            server.bodies(),
            [Some(Bytes::from("one two three"))],
            "{kind:?}"
        );
    }
}

/// 16 MiB: more than the buffers of a loopback connection hold.
fn large() -> Bytes {
    (0..16 << 20).map(|n: u32| (n % 251) as u8).collect()
}

#[tokio::test]
async fn an_upload_that_stalls_does_not_touch_the_others() {
    let whole = large();
    for kind in KINDS {
        let stops = |n| {
            if n == 0 {
                Answer::StopsReading
            } else {
                Answer::Now
            }
        };
        let server = Server::start(stops).await;
        let client = kind.hedged(&server, SOON);
        let ask = Ask::put(&server, Payload::Whole(whole.clone()));
        assert_eq!(text(send(&client, ask).await).await, "answer 1", "{kind:?}");
        let bodies = server.bodies();
        assert_eq!(bodies.len(), 2, "{kind:?}");
        assert!(bodies[0].is_none(), "{kind:?}");
        assert!(bodies[1].as_ref() == Some(&whole), "{kind:?}");
    }
}

#[tokio::test]
async fn an_upload_that_breaks_off_does_not_touch_the_others() {
    let whole = large();
    for kind in KINDS {
        let breaks = |n| {
            if n == 0 {
                Answer::BreaksOff
            } else {
                Answer::Now
            }
        };
        let server = Server::start(breaks).await;
        // Beyond the test's patience: the next attempt is sent because the first has failed.
        let client = kind.hedged(&server, PATIENCE * 2);
        let ask = Ask::put(&server, Payload::Whole(whole.clone()));
        assert_eq!(text(send(&client, ask).await).await, "answer 1", "{kind:?}");
        let bodies = server.bodies();
        assert_eq!(bodies.len(), 2, "{kind:?}");
        assert!(bodies[0].is_none(), "{kind:?}");
        assert!(bodies[1].as_ref() == Some(&whole), "{kind:?}");
    }
}
