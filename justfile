# Short names for the commands of README.md and CONTRIBUTING.md.

# What must hold before a commit; `.ci/run` has more.
check: fmt clippy docs test quickstart

fmt:
    cargo fmt --all --check

clippy:
    cargo clippy --workspace --all-targets -- -D warnings

docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

test:
    cargo test

# The main job: a folder under runs/.
quickstart:
    cargo run --release -- run scenarios/suites/quickstart.json

# Check and measure a suite by name: `just sweep smoke`.
sweep suite:
    cargo run --release -- run scenarios/suites/{{suite}}.json

bench:
    cargo bench
