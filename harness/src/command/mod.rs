//! One file per command.
pub(crate) mod doctor;
pub(crate) mod export;
pub(crate) mod failures;
pub(crate) mod list;
pub(crate) mod merge;
pub(crate) mod mutate;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod seeds;
use crate::driver::Driver;
use crate::exit::Exit;
use crate::memory::Counting;
use crate::worker::serve;
use std::io::{IsTerminal, Write};

/// Print the JSON Schema of scenarios.
pub(crate) fn schema() -> anyhow::Result<Exit> {
    print(&serde_json::to_string_pretty(&lowbit_scenarios::schema())?)?;
    Ok(Exit::Ok)
}

/// Serve requests until the parent closes the pipe.
pub(crate) fn worker(
    drivers: &[&dyn Driver],
    threads: usize,
    heap: &'static Counting,
) -> anyhow::Result<Exit> {
    let (sender, requests) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
        // The parent is gone, or done with us: a row that never returns must not outlive it.
        std::process::exit(0);
    });
    serve(drivers, threads, heap, (requests.into_iter(), &mut std::io::stdout()))?;
    Ok(Exit::Ok)
}

/// Print a text and a line break; a reader that has gone away (`| head`) is no error.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

/// Print a line on standard error; one that is closed is no error.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Whether to colour what is printed: on a terminal, unless `NO_COLOR` is set (no-color.org).
#[expect(clippy::disallowed_methods, reason = "NO_COLOR is an environment variable by convention")]
pub(crate) fn colour() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal() && !unwanted
}
