//! The same SDKs, served by the gateway in front of the same server.

use hedgerow_gateway::{Gateway, GatewayConfig, KeyStyle, UpstreamConfig};
use hedgerow_openai::anthropic::MessagesRequest;
use hedgerow_openai::openai::{ChatRequest, ResponseRequest};

use crate::server::Provider;
use crate::{all_kept, environments, run};

/// With what holds if nothing is written: retries, hedges, deadlines, admission, first content.
async fn gateway(provider: &Provider) -> (Gateway, String) {
    let url = format!("{}/v1", provider.url());
    let upstream = UpstreamConfig::new("provider", url).key_style(KeyStyle::Client);
    let mut config = GatewayConfig::new(upstream);
    config.listen = Some("127.0.0.1:0".to_owned());
    let gateway = Gateway::bind(&config).await.expect("it listens");
    let url = format!("http://{}", gateway.address());
    (gateway, url)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_openai_sdk_for_python_is_served_through_the_gateway() {
    for sdk in environments("openai") {
        let provider = Provider::start().await;
        let (gateway, url) = gateway(&provider).await;
        let checks = run(&sdk, "openai_sdk.py", &url).await;
        assert_eq!(checks, 22, "{}", sdk.display());
        all_kept::<ChatRequest>(&provider, "/v1/chat/completions");
        all_kept::<ResponseRequest>(&provider, "/v1/responses");
        assert_eq!(gateway.close().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_anthropic_sdk_for_python_is_served_through_the_gateway() {
    for sdk in environments("anthropic") {
        let provider = Provider::start().await;
        let (gateway, url) = gateway(&provider).await;
        let checks = run(&sdk, "anthropic_sdk.py", &url).await;
        assert_eq!(checks, 14, "{}", sdk.display());
        all_kept::<MessagesRequest>(&provider, "/v1/messages");
        assert_eq!(gateway.close().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sdks_for_node_are_served_through_the_gateway() {
    for sdk in environments("node") {
        let provider = Provider::start().await;
        let (gateway, url) = gateway(&provider).await;
        assert_eq!(run(&sdk, "openai_sdk.mjs", &url).await, 14);
        assert_eq!(run(&sdk, "anthropic_sdk.mjs", &url).await, 7);
        assert_eq!(gateway.close().await, 0);
    }
}
