//! Probes of what the machine can do: the roofs that rows are measured against.
