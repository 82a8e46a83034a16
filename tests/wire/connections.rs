//! What a loser costs in connections: counted where they are accepted.

use std::time::Duration;

use hedgerow::DrainLayer;
use hedgerow_tests::{Answer, PATIENCE, Server};
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::SOON;
use crate::clients::{Ask, Boxed, KINDS, Kind};
use crate::promises::{inform, soon};

const CALLS: usize = 10;

/// Long enough for a connection to come back to its pool, which the client does on the side.
const PAUSE: Duration = Duration::from_millis(20);

/// Sends a call that is hedged and reads its answer, which frees the winner's connection.
async fn hedged_call(client: &Boxed, server: &Server) {
    let before = server.requests();
    let response = soon(client.clone().oneshot(Ask::get(server))).await;
    let body = response.expect("an answer").into_body();
    soon(body.collect()).await.expect("a whole body");
    assert_eq!(server.requests(), before + 2);
}

/// Every primary hangs.
fn dropped(number: usize) -> Answer {
    if number.is_multiple_of(2) {
        Answer::Never
    } else {
        Answer::Now
    }
}

/// Every primary is answered after its hedge.
fn drained(number: usize) -> Answer {
    if number.is_multiple_of(2) {
        Answer::WhenLetGo
    } else {
        Answer::Now
    }
}

async fn connections_of_dropped_losers(kind: Kind) -> usize {
    let server = Server::start(dropped).await;
    let client = kind.hedged(&server, SOON);
    for call in 1..=CALLS {
        hedged_call(&client, &server).await;
        soon(server.dropped(call)).await;
        tokio::time::sleep(PAUSE).await;
    }
    server.connections()
}

async fn connections_of_drained_losers(kind: Kind) -> usize {
    let server = Server::start(drained).await;
    let drain = DrainLayer::new(PATIENCE, 4);
    let client = kind.client(&server, SOON, Some(drain.clone()));
    for call in 1..=CALLS {
        hedged_call(&client, &server).await;
        server.let_one_go();
        soon(async {
            while drain.stats().answered < call as u64 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        tokio::time::sleep(PAUSE).await;
    }
    server.connections()
}

/// Over HTTP/1 each dropped loser takes its connection along: N calls open N + 1. Drained losers
/// give theirs back: 2 carry all. Over HTTP/2 one connection carries everything.
#[tokio::test]
async fn a_dropped_loser_costs_its_connection_over_http_1_alone() {
    for kind in KINDS {
        let dropped = connections_of_dropped_losers(kind).await;
        let drained = connections_of_drained_losers(kind).await;
        inform(
            kind,
            "connections of dropped and of drained losers",
            (dropped, drained),
        );
        let wanted = if kind.is_http2() {
            (1, 1)
        } else {
            (CALLS + 1, 2)
        };
        assert_eq!((dropped, drained), wanted, "{kind:?}");
    }
}
