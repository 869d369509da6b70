//! A kernel in a process of its own: the same executable, run again up to the same call.
//!
//! The child is told by a variable of its environment which check of which test it is for. There it
//! takes cases from stdin and answers records on stdout, and ends when stdin closes. Every other
//! check in it is passed over. So nothing of the kernel has to be sent, and whatever it does to its
//! process, the test goes on.
use super::process::{Thread, crashed};
use crate::child::{Lost, Worker};
use crate::driver::Driver;
use crate::protocol::{Depth, REPLY, Reply, Request};
use lowbit_kernels::hardware::Hardware;
use lowbit_reference::case::Case;
use lowbit_reports::record::Record;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::process::Command;
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The variable that names the check a child is for.
const CHECKING: &str = "LOWBIT_CHECKING";
/// Longest until a child reaches its check: it runs the test up to there.
const START_LIMIT: Duration = Duration::from_secs(5);

/// How often each test of this process has checked a kernel of each name: kernels of one name are
/// told apart by their turn, or a child could answer for another one.
static CHECKS: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());

/// What a check is in this process.
pub(super) enum Role {
    /// The check itself; a child can run it if there is a way to reach this call again.
    Parent(Option<Again>),
    /// The one that a parent waits for.
    Child,
    /// Another one on a child's way.
    PassedOver,
}

/// How this call is reached again in another process.
#[derive(Clone)]
pub(super) struct Again {
    check: String,
    arguments: Vec<OsString>,
}

impl Role {
    /// The role of the check that begins now on this thread.
    pub(super) fn of(op: &str, row: &str) -> Role {
        let thread = std::thread::current();
        let check = thread.name().map(|test| numbered(format!("{test}: {op}/{row}")));
        match (wanted(), check) {
            (None, check) => {
                let again = check.zip(thread.name());
                Role::Parent(again.map(|(check, test)| Again { check, arguments: arguments(test) }))
            }
            (Some(wanted), Some(check)) if wanted == check => Role::Child,
            (Some(_), _) => Role::PassedOver,
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a child must know what it is for before it is asked"
)]
fn wanted() -> Option<String> {
    std::env::var(CHECKING).ok()
}

fn numbered(check: String) -> String {
    let mut checks = CHECKS.lock().unwrap_or_else(PoisonError::into_inner);
    let turn = checks.entry(check.clone()).or_default();
    *turn += 1;
    format!("{check} #{turn}")
}

/// A test runs on a thread of its name, and is asked for by it; a program's `main` by what this
/// process was called with.
fn arguments(thread: &str) -> Vec<OsString> {
    if thread == "main" {
        return std::env::args_os().skip(1).collect();
    }
    // On one thread, the runner writes a test's name and no end of line before it runs.
    let flags = ["--exact", "--include-ignored", "--nocapture", "--test-threads=2"];
    std::iter::once(thread).chain(flags).map(OsString::from).collect()
}

impl Again {
    /// A child that waits for cases; nothing where it ended, or did not reach the check in time.
    pub(super) fn start(&self) -> Option<Worker> {
        let mut command = Command::new(std::env::current_exe().ok()?);
        // Without traces, the last words of a process say what it died of.
        command.args(&self.arguments).env(CHECKING, &self.check).env("RUST_BACKTRACE", "0");
        let mut child = Worker::spawn(&mut command).ok()?;
        matches!(child.reply(START_LIMIT), Ok(Reply::Hardware(_))).then_some(child)
    }
}

/// What a child answers to a case. After an error it is gone.
pub(super) fn ask(
    child: &mut Worker,
    (case, depth): (&Case, &Depth),
    row: &str,
    limit: Duration,
) -> Result<Option<Box<Record>>, Lost> {
    let rows = vec![row.to_owned()];
    child.ask(&Request::Case { case: case.to_string(), rows, depth: depth.clone() });
    match child.reply(limit)? {
        Reply::Record(record) => Ok(Some(record)),
        _ => Ok(None),
    }
}

/// Be the child: answer cases until the parent is done, and end the process.
pub(super) fn serve(driver: &'static dyn Driver, row: &'static str) -> ! {
    // What is caught is told to the parent; nobody reads the rest.
    std::panic::set_hook(Box::new(|_| {}));
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        let lines = std::io::stdin().lines().map_while(Result::ok);
        lines.map(|line| sender.send(line)).take_while(Result::is_ok).for_each(drop);
        // The parent is gone, or done with us: a kernel that never returns must not outlive it.
        std::process::exit(0);
    });
    let thread = Thread::start(driver, row, true);
    say(&Reply::Hardware(Hardware::detect()));
    for request in requests {
        let Ok(Request::Case { case, depth, .. }) = serde_json::from_str(&request) else { break };
        // The parent keeps the time.
        let answer = |case: Case| match thread.ask((&case, &depth), Duration::MAX) {
            Ok(Some(record)) => Reply::Record(record),
            Ok(None) => Reply::Impossible { reason: "it cannot be built".into() },
            Err(lost) => Reply::Record(Box::new(crashed(&case, row, &lost.sentence()))),
        };
        let refuse =
            |e: lowbit_reference::case::CaseError| Reply::Impossible { reason: e.to_string() };
        say(&case.parse().map_or_else(refuse, answer));
    }
    std::process::exit(0)
}

fn say(reply: &Reply) {
    let json = serde_json::to_string(reply).unwrap_or_default();
    // On a line of its own, whatever the kernel has printed before.
    let mut output = std::io::stdout().lock();
    let _ = output.write_all(format!("\n{REPLY}{json}\n").as_bytes()).and_then(|()| output.flush());
}
