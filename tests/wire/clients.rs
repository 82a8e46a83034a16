//! The usual clients, each behind the layers, seen as one.

use std::time::Duration;

use bytes::Bytes;
use hedgerow::{
    BoxError, Budget, DrainLayer, GrpcLayer, HedgeLayer, Idempotent, IdempotentPathsLayer,
    ReplayBodyLayer,
};
use hedgerow_tests::{Gated, Server};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::{Method, Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tonic::transport::Channel;
use tower::util::{BoxCloneService, option_layer};
use tower::{Layer, ServiceBuilder, ServiceExt};

/// The path that the clients which can allow one allow.
pub(crate) const ALLOWED: &str = "/test.Echo/Get";

/// Larger than any body that is sent here.
const CAP: u64 = 64 << 20;

/// What is to be sent.
pub(crate) struct Ask {
    url: String,
    method: Method,
    permit: Permit,
    payload: Payload,
}

/// What allows a `POST` to be sent twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permit {
    None,
    Key,
    Mark,
    Path,
}

pub(crate) enum Payload {
    Whole(Bytes),
    Arriving(Gated),
}

pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;
pub(crate) type Boxed = BoxCloneService<Ask, Response<Body>, BoxError>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Hyper1,
    Hyper2,
    Reqwest1,
    Reqwest2,
    Tonic,
}

pub(crate) const KINDS: [Kind; 5] = [
    Kind::Hyper1,
    Kind::Hyper2,
    Kind::Reqwest1,
    Kind::Reqwest2,
    Kind::Tonic,
];

impl Ask {
    pub(crate) fn get(server: &Server) -> Self {
        Self::new(server, Method::GET, Permit::None)
    }

    pub(crate) fn post(server: &Server, permit: Permit) -> Self {
        Self::new(server, Method::POST, permit)
    }

    fn new(server: &Server, method: Method, permit: Permit) -> Self {
        let path = if permit == Permit::Path {
            ALLOWED
        } else {
            "/test.Echo/Set"
        };
        Self {
            url: server.url() + path,
            method,
            permit,
            payload: Payload::Whole(Bytes::new()),
        }
    }

    pub(crate) fn put(server: &Server, payload: Payload) -> Self {
        Self {
            payload,
            ..Self::new(server, Method::PUT, Permit::None)
        }
    }

    fn http(self) -> Request<Body> {
        let mut request = Request::builder().method(self.method).uri(self.url);
        match self.permit {
            Permit::Key => request = request.header("idempotency-key", "7"),
            Permit::Mark => request = request.extension(Idempotent),
            Permit::None | Permit::Path => {}
        }
        let body = match self.payload {
            Payload::Whole(bytes) => erase(http_body_util::Full::new(bytes)),
            Payload::Arriving(body) => erase(body),
        };
        request.body(body).expect("a valid request")
    }

    fn tonic(self) -> Request<tonic::body::Body> {
        self.http().map(tonic::body::Body::new)
    }

    fn reqwest(self) -> reqwest::Request {
        let url = self.url.parse().expect("a valid url");
        let mut request = reqwest::Request::new(self.method, url);
        if self.permit == Permit::Key {
            let key = "7".parse().expect("a valid value");
            request.headers_mut().insert("idempotency-key", key);
        }
        *request.body_mut() = Some(match self.payload {
            Payload::Whole(bytes) => bytes.into(),
            Payload::Arriving(body) => reqwest::Body::wrap(body),
        });
        request
    }
}

fn erase<B>(body: B) -> Body
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    body.map_err(Into::into).boxed_unsync()
}

impl Kind {
    pub(crate) const fn is_http2(self) -> bool {
        !matches!(self, Self::Hyper1 | Self::Reqwest1)
    }

    /// How a `POST` can be allowed with this client.
    pub(crate) const fn permits(self) -> &'static [Permit] {
        match self {
            Self::Hyper1 | Self::Hyper2 | Self::Tonic => &[Permit::Key, Permit::Mark, Permit::Path],
            // Its extensions are private.
            Self::Reqwest1 | Self::Reqwest2 => &[Permit::Key],
        }
    }

    /// The client of a user, hedged after `delay`.
    pub(crate) fn hedged(self, server: &Server, delay: Duration) -> Boxed {
        self.client(server, delay, None)
    }

    pub(crate) fn client(
        self,
        server: &Server,
        delay: Duration,
        drain: Option<DrainLayer>,
    ) -> Boxed {
        let hedge = HedgeLayer::fixed(delay).budget(Budget::unlimited());
        let drain = option_layer(drain);
        match self {
            Self::Hyper1 | Self::Hyper2 => {
                let mut connector = HttpConnector::new();
                connector.set_nodelay(true);
                let client = Client::builder(TokioExecutor::new())
                    .http2_only(self.is_http2())
                    .build(connector);
                ServiceBuilder::new()
                    .map_request(Ask::http)
                    .layer(IdempotentPathsLayer::new([ALLOWED]))
                    .layer(ReplayBodyLayer::new().cap_bytes(CAP))
                    .layer(hedge.http())
                    .layer(drain)
                    .service(client)
                    .map_response(|response| response.map(erase))
                    .map_err(BoxError::from)
                    .boxed_clone()
            }
            Self::Reqwest1 | Self::Reqwest2 => {
                let mut client = reqwest::Client::builder()
                    .retry(reqwest::retry::never())
                    .no_proxy();
                if self.is_http2() {
                    client = client.http2_prior_knowledge();
                }
                ServiceBuilder::new()
                    .map_request(Ask::reqwest)
                    .layer(hedge.http())
                    .layer(drain)
                    .service(client.build().expect("a client without TLS"))
                    .map_response(|response| Response::from(response).map(erase))
                    .map_err(BoxError::from)
                    .boxed_clone()
            }
            Self::Tonic => {
                let channel = Channel::from_shared(server.url()).expect("a valid url");
                let stack = ServiceBuilder::new().layer(hedge.grpc()).layer(drain);
                GrpcLayer::new(stack)
                    .idempotent_paths([ALLOWED])
                    .cap_bytes(CAP)
                    .layer(channel.connect_lazy())
                    .map_request(Ask::tonic)
                    .map_response(|response: Response<_>| response.map(erase))
                    .map_err(BoxError::from)
                    .boxed_clone()
            }
        }
    }
}
