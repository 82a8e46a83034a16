//! A generated gRPC client whose slow calls are sent again, if their method only reads.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program with a server"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hedgerow::{GrpcLayer, HedgeLayer};
use tokio::net::TcpListener;
use tonic::transport::{Channel, Server, server::TcpIncoming};
use tonic::{Request, Response, Status};
use tower::Layer;

use crate::proto::greeter_client::GreeterClient;
use crate::proto::greeter_server::{Greeter, GreeterServer};
use crate::proto::{Greeting, Name};

/// What the build script made of greeter.proto.
#[expect(
    unreachable_pub,
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::doc_markdown,
    reason = "generated"
)]
mod proto {
    tonic::include_proto!("greeter");
}

static CALLS: AtomicUsize = AtomicUsize::new(0);

struct Slow;

#[tonic::async_trait]
impl Greeter for Slow {
    /// One in twenty takes a second instead of 2 ms.
    async fn greet(&self, request: Request<Name>) -> Result<Response<Greeting>, Status> {
        let slow = CALLS.fetch_add(1, Ordering::Relaxed) % 20 == 10;
        tokio::time::sleep(Duration::from_millis(if slow { 1_000 } else { 2 })).await;
        let text = format!("hello {}", request.get_ref().name);
        Ok(Response::new(Greeting { text }))
    }

    async fn remember(&self, request: Request<Name>) -> Result<Response<Greeting>, Status> {
        self.greet(request).await
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let channel = Channel::from_shared(format!("http://{}", listener.local_addr()?))?;
    let server = Server::builder().add_service(GreeterServer::new(Slow));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));

    let hedge = HedgeLayer::fixed(Duration::from_millis(30)).grpc();
    // The one expression that matters. Every gRPC call is a POST: say which may be sent twice.
    let mut client = GreeterClient::new(
        GrpcLayer::new(hedge.clone())
            .idempotent_paths(["/greeter.Greeter/Greet"])
            .layer(channel.connect().await?),
    );

    for n in 0..100 {
        let name = format!("number {n}");
        let reply = client.greet(Name { name: name.clone() }).await?;
        assert_eq!(reply.get_ref().text, format!("hello {name}"));
    }
    let stats = hedge.handle().stats();
    println!("{} of {} copies won", stats.hedge_wins, stats.fired);
    assert!(stats.hedge_wins > 0, "the slow ones were hedged");
    client.remember(Name { name: "me".into() }).await?;
    assert_eq!(hedge.handle().stats().unreplayable, 1, "sent once, always");
    Ok(())
}
