//! The parent's end of a worker: start, ask, notice death or silence.
use crate::protocol::{REPLY, Reply, Request};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Lines of a dead worker's last words that are kept.
const LAST_WORDS: usize = 40;

/// Milliseconds that a worker whose pipe is closed has to die.
const DYING: usize = 200;

/// A running worker.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    stdin: Option<ChildStdin>,
    replies: Receiver<String>,
    errors: Option<JoinHandle<VecDeque<String>>>,
}

/// Why no reply came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The process ended; how, and its last words.
    Died(String),
    /// Silence for longer than the limit; the process was killed.
    Silent(Duration),
    /// The answer is no reply.
    Garbled(String),
}

impl Lost {
    /// Why, for a record.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Lost::Died(how) => how.clone(),
            Lost::Silent(limit) => format!("no answer within {} s; killed", seconds(*limit)),
            Lost::Garbled(what) => what.clone(),
        }
    }
}

/// Seconds to the hundredth.
fn seconds(limit: Duration) -> f64 {
    (limit.as_secs_f64() * 100.0).round() / 100.0
}

impl Worker {
    /// Start `program worker --threads N`. Thread pools that are not ours are told the number
    /// through the variables they read.
    pub fn start(program: &std::path::Path, threads: usize) -> std::io::Result<Worker> {
        let count = threads.to_string();
        let mut command = Command::new(program);
        command.args(["worker", "--threads", &count]);
        Worker::spawn(command.env("RAYON_NUM_THREADS", &count).env("LP_NUM_THREADS", &count))
    }

    /// Start a program that takes requests and answers replies.
    pub(crate) fn spawn(command: &mut Command) -> std::io::Result<Worker> {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (sender, replies) = channel();
        let stdin = child.stdin.take();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                let replies = lines(stdout).filter_map(|l| Some(l.strip_prefix(REPLY)?.to_owned()));
                replies.map(|reply| sender.send(reply)).take_while(Result::is_ok).for_each(drop);
            });
        }
        let errors = child.stderr.take().map(|stderr| {
            std::thread::spawn(move || {
                let mut last = VecDeque::new();
                for line in lines(stderr) {
                    last.push_back(line);
                    if last.len() > LAST_WORDS {
                        last.pop_front();
                    }
                }
                last
            })
        });
        Ok(Worker { child, stdin, replies, errors })
    }

    /// Send a request. A worker that is already gone is noticed when its reply is awaited.
    pub fn ask(&mut self, request: &Request) {
        let line = serde_json::to_string(request).unwrap_or_default();
        if let Some(stdin) = &mut self.stdin {
            let _ = writeln!(stdin, "{line}").and_then(|()| stdin.flush());
        }
    }

    /// The next reply, waited for no longer than `limit`. After an error the worker is gone.
    pub fn reply(&mut self, limit: Duration) -> Result<Reply, Lost> {
        match self.replies.recv_timeout(limit) {
            Ok(line) => serde_json::from_str(&line).map_err(|e| {
                self.kill();
                Lost::Garbled(format!("the worker answered no reply: {e}"))
            }),
            Err(RecvTimeoutError::Timeout) => {
                self.kill();
                Err(Lost::Silent(limit))
            }
            Err(RecvTimeoutError::Disconnected) => Err(Lost::Died(self.obituary())),
        }
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn obituary(&mut self) -> String {
        // It is dying, or has closed the pipe and lives on; one that is dead keeps its status.
        let dead = |child: &mut Child| !matches!(child.try_wait(), Ok(None));
        for _ in 0..DYING {
            if dead(&mut self.child) {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = self.child.kill();
        let how = self.child.wait().map_or_else(|e| e.to_string(), describe);
        let words = self.errors.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        match last_words(&words) {
            Some(words) => format!("{how}: {words}"),
            None => how,
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // A closed pipe ends an idle worker; a busy one is not waited for.
        drop(self.stdin.take());
        self.kill();
    }
}

/// Lines of a pipe until it closes; bytes that are no text are replaced.
fn lines(pipe: impl Read) -> impl Iterator<Item = String> {
    let mut pipe = BufReader::new(pipe);
    std::iter::from_fn(move || {
        let mut line = Vec::new();
        match pipe.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(String::from_utf8_lossy(&line).trim_end().to_owned()),
        }
    })
}

/// How a process ended: its exit status, or the signal by its name.
fn describe(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        let name = match signal {
            4 => "illegal instruction",
            6 => "abort",
            7 => "bus error",
            8 => "arithmetic exception",
            9 => "killed (out of memory?)",
            11 => "segmentation fault",
            _ => "killed",
        };
        return format!("the worker died of signal {signal} ({name})");
    }
    format!("the worker ended with {status}")
}

/// The panic message, or else the last line that says anything.
fn last_words(lines: &VecDeque<String>) -> Option<String> {
    let panic = lines.iter().position(|line| line.contains("panicked at"));
    let line = match panic {
        Some(at) => lines.get(at + 1).or(lines.get(at)),
        // Notes of Rust's runtime are no reason.
        None => {
            let says = |line: &&String| !line.trim().is_empty() && !line.starts_with("note:");
            lines.iter().rev().find(says)
        }
    };
    line.map(|line| line.trim().to_owned())
}
