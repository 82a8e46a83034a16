//! A new file, without dropping a request.

use hedgerow_gateway::GatewayConfig;

use crate::up::{CHAT, Up, chat, gateway, header, json, metric, upstream};

fn config(file: &str) -> GatewayConfig {
    GatewayConfig::from_toml(file).unwrap_or_else(|errors| panic!("{errors}"))
}

#[tokio::test]
async fn a_new_file_holds_for_what_comes_and_what_runs_ends_as_it_began() {
    let old = Up::start(|_, _| json(200, "{\"by\":\"old\"}", 300)).await;
    let new = Up::start(|_, _| json(200, "{\"by\":\"new\"}", 0)).await;
    let gateway = gateway(&upstream("old", &old)).await;
    let running = chat(&gateway, "{}");
    let change = async {
        crate::up::until(async || !old.asked().is_empty()).await;
        gateway
            .reload(&config(&upstream("new", &new)))
            .expect("it is fine");
        chat(&gateway, "{}").await
    };
    let (before, after) = tokio::join!(running, change);
    assert_eq!(header(&before, "x-hedgerow-upstream"), "old");
    assert_eq!(header(&after, "x-hedgerow-upstream"), "new");
    // The counts go on.
    let came = format!("hedgerow_requests_total{{route=\"{CHAT}\"}}");
    assert_eq!(metric(&gateway, &came).await, 2);
}

#[tokio::test]
async fn what_a_route_has_learnt_stays_where_nothing_of_it_changes() {
    let up = Up::start(|_, _| json(200, "{}", 0)).await;
    let layer = |path: &str| {
        format!(
            "[[route]]\npath = {path:?}\n[[route.layer]]\nkind = \"admission\"\n\
             rates = [{{ requests = 1, per = \"1h\" }}]\nmax_wait = \"1ms\"\n"
        )
    };
    let file = format!("{}{}", upstream("up", &up), layer(CHAT));
    let gateway = gateway(&file).await;
    assert_eq!(chat(&gateway, "{}").await.status(), 200);
    gateway
        .reload(&config(&format!("{file}{}", layer("/v1/embeddings"))))
        .expect("it is fine");
    assert_eq!(
        chat(&gateway, "{}").await.status(),
        429,
        "its one request an hour is used up"
    );
    let changed = file.replace("requests = 1", "requests = 2");
    gateway.reload(&config(&changed)).expect("it is fine");
    assert_eq!(chat(&gateway, "{}").await.status(), 200);
}

#[tokio::test]
async fn every_mistake_of_a_file_is_told_with_its_line() {
    let errors = GatewayConfig::from_toml(
        "listen = \"here\"\n\
         max_body_bytes = 0\n\
         [[upstream]]\n\
         name = \"a b\"\n\
         url = \"ftp://x\"\n\
         key_style = \"none\"\n\
         [[upstream]]\n\
         name = \"two\"\n\
         url = \"http://127.0.0.1:1\"\n\
         key_env = \"NO_SUCH_VARIABLE_IS_SET\"\n\
         [[model]]\n\
         name = \"m\"\n\
         entries = [{ upstream = \"tow\" }]\n\
         [[route]]\n\
         path = \"v1/x\"\n\
         [[route.layer]]\n\
         kind = \"hedge\"\n\
         percentile = 0.95\n\
         [[route]]\n\
         pth = \"/v1/y\"\n",
    )
    .expect_err("mistakes");
    let told: Vec<String> = errors.to_string().lines().map(str::to_owned).collect();
    for wanted in [
        "line 1: listen",
        "line 2: max_body_bytes = 0",
        "line 4: upstream[0].name",
        "line 5: upstream[0].url",
        "upstream[1].key_env",
        "line 13: model[0].entries[0].upstream = \"tow\": there is no such upstream; did you mean \"two\"?",
        "line 15: route[0].path",
        "line 18: route[0].layer[0].percentile = 0.95",
        "route[1].pth",
    ] {
        assert!(
            told.iter().any(|line| line.contains(wanted)),
            "{wanted}:\n{errors}"
        );
    }
    assert!(
        told.iter()
            .any(|line| line.contains("NO_SUCH_VARIABLE_IS_SET")),
        "{errors}"
    );
}
