//! Over a real socket: real time, so nothing here asserts a duration.

use bytes::Bytes;
use hedgerow_sim::batch_api::{Fault, MockBatchApi, On};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::client::rows;

type HttpClient = Client<HttpConnector, Full<Bytes>>;

async fn send(client: &HttpClient, request: Request<String>) -> Result<Response<Incoming>, Error> {
    client
        .request(request.map(|body| Full::new(body.into())))
        .await
}

fn upload(api: &MockBatchApi, rows: &str) -> Request<String> {
    let body = format!(
        "--f\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--f\r\n\
         content-disposition: form-data; name=\"file\"; filename=\"r\"\r\n\r\n{rows}\r\n--f--\r\n"
    );
    Request::post(format!("{}/v1/files", api.url()))
        .header("content-type", "multipart/form-data; boundary=f")
        .body(body)
        .expect("a request")
}

async fn json(answer: Response<Incoming>) -> Value {
    assert_eq!(answer.status(), 200);
    let bytes = answer
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    serde_json::from_slice(&bytes).expect("JSON")
}

#[tokio::test]
async fn a_socket_leads_to_the_same_and_its_faults_are_real() {
    let api = MockBatchApi::settings()
        .fault(Fault::on(On::Upload).hang_up_after())
        .fault(Fault::on(On::Download).cut_after(10_000))
        .bind(([127, 0, 0, 1], 0).into())
        .await
        .expect("a free port");
    let client: HttpClient = Client::builder(TokioExecutor::new()).build_http();
    let content = rows(200);
    send(&client, upload(&api, &content))
        .await
        .expect_err("hung up");
    // It was kept all the same.
    assert_eq!(api.counts().files, 1);
    let file = json(
        send(&client, upload(&api, &content))
            .await
            .expect("an answer"),
    )
    .await;
    let path = format!(
        "{}/v1/files/{}/content",
        api.url(),
        file["id"].as_str().expect("an id")
    );
    let get = || Request::get(&path).body(String::new()).expect("a request");
    let cut = send(&client, get())
        .await
        .expect("a head")
        .into_body()
        .collect()
        .await;
    assert!(cut.is_err(), "a body that was cut must not look whole");
    let whole = send(&client, get())
        .await
        .expect("a head")
        .into_body()
        .collect()
        .await;
    assert_eq!(whole.expect("a body").to_bytes(), content);
    let counts = api.close().await;
    assert_eq!((counts.uploads, counts.downloads), (2, 2));
}
