//! `hedgerow serve`, `check`, `explain` and `schema`.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use hedgerow::config::{ConfigErrors, Describe};
use hedgerow_gateway::{Gateway, GatewayConfig, Refused, UpstreamConfig};
use thiserror::Error;
use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time;

use crate::cli::Source;
use crate::output::{print, tell};

/// How often a file is looked at for a change.
const LOOK: Duration = Duration::from_secs(1);

/// Why nothing is served.
#[derive(Debug, Error)]
pub(crate) enum ServeError {
    /// What is written has to be changed.
    #[error("{errors}")]
    Written { errors: ConfigErrors },
    #[error(transparent)]
    Refused(Refused),
    #[error("cannot start: {0}")]
    Runtime(io::Error),
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
}

/// What `main` says, and the code it exits with.
pub(crate) fn told(error: &ServeError) -> (String, u8) {
    let code = match error {
        ServeError::Written { .. } | ServeError::Refused(Refused::Config(_)) => 2,
        _ => 1,
    };
    (error.to_string(), code)
}

/// Serves until it is told to stop.
pub(crate) fn serve(source: &Source) -> Result<(), ServeError> {
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(ServeError::Runtime)?;
    runtime.block_on(run(source))
}

/// Whether a file can be served.
pub(crate) fn check(file: &Path) -> Result<(), ServeError> {
    let config = GatewayConfig::from_file(file)?;
    let routes = config.explain()?;
    let warnings: usize = routes.iter().map(|(_, stack)| stack.warnings.len()).sum();
    let text = match warnings {
        0 => format!("{}: fine\n", file.display()),
        n => format!(
            "{}: can be served, with {n} warning{}: see `hedgerow explain --config {0}`\n",
            file.display(),
            if n == 1 { "" } else { "s" }
        ),
    };
    Ok(print(&text)?)
}

/// The layers of each route.
pub(crate) fn explain(source: &Source) -> Result<(), ServeError> {
    let config = source.read()?;
    let mut text = String::new();
    for (name, stack) in config.explain()? {
        text.push_str(&format!("[{name}]\n{stack}\n"));
    }
    Ok(print(text.trim_end_matches('\n'))?)
}

/// What can be written.
pub(crate) fn schema() -> Result<(), ServeError> {
    Ok(print(&format!("{:#}\n", GatewayConfig::schema()))?)
}

async fn run(source: &Source) -> Result<(), ServeError> {
    let handle = |kind| signal(kind).map_err(ServeError::Runtime);
    let mut term = handle(SignalKind::terminate())?;
    let mut interrupt = handle(SignalKind::interrupt())?;
    let mut hup = handle(SignalKind::hangup())?;
    let gateway = Gateway::bind(&source.read()?).await?;
    tell(&format!(
        "hedgerow: listening on http://{}\n",
        gateway.address()
    ));
    let mut seen = source.changed();
    loop {
        tokio::select! {
            _ = term.recv() => break,
            _ = interrupt.recv() => break,
            () = changed(source, &mut seen, &mut hup) => {}
        }
        match source.read().and_then(|config| gateway.reload(&config)) {
            Ok(()) => tell("hedgerow: takes what is written now\n"),
            Err(errors) => tell(&format!(
                "hedgerow: everything stays as it was:\n{errors}\n"
            )),
        }
    }
    tell("hedgerow: closing\n");
    match gateway.close().await {
        0 => {}
        cut => tell(&format!("hedgerow: {cut} connections were cut off\n")),
    }
    Ok(())
}

/// Until the file is to be read again: it has changed, or somebody says so.
async fn changed(source: &Source, seen: &mut Option<SystemTime>, hup: &mut Signal) {
    loop {
        tokio::select! {
            said = hup.recv() => if said.is_some() {
                *seen = source.changed();
                return;
            },
            () = time::sleep(LOOK) => {
                let now = source.changed();
                // A file that is away, as between two writes, is none that has changed.
                if now.is_some() && now != *seen {
                    *seen = now;
                    return;
                }
            }
        }
    }
}

impl Source {
    fn read(&self) -> Result<GatewayConfig, ConfigErrors> {
        let mut config = match (&self.config, &self.upstream) {
            (Some(file), _) => GatewayConfig::from_file(file)?,
            (None, url) => {
                let url = url.clone().unwrap_or_default();
                let mut upstream = UpstreamConfig::new("upstream", url);
                upstream.key_style = self.key_style.unwrap_or_default();
                upstream.key_env.clone_from(&self.key_env);
                GatewayConfig::new(upstream)
            }
        };
        if let Some(listen) = &self.listen {
            config.listen = Some(listen.clone());
        }
        Ok(config)
    }

    /// When the file was written last, if there is one.
    fn changed(&self) -> Option<SystemTime> {
        let file = self.config.as_ref()?;
        file.metadata().ok()?.modified().ok()
    }
}

impl From<ConfigErrors> for ServeError {
    fn from(errors: ConfigErrors) -> Self {
        Self::Written { errors }
    }
}

impl From<Refused> for ServeError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}
