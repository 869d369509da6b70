"""Our rows and outside peers by turns, and the ratio of their round medians.

    python scripts/peers/alternate.py --lowbit target/release/lowbit --out DIR --case ID [--case ID]
        [--rounds 5] [--threads 1] [--cache hot] [--seconds 0.3] [--kernel GLOB]
        [--peer 'command ...'] [--into RUN]

Each round is one `lowbit measure` of our rows and one round of each peer, so that whatever slows
the machine for a while slows both. DIR/run is the run (the first round's, with our samples of all
rounds), DIR/case-<i> an exported case; `lowbit merge` judges the answers and joins them. A peer is a
command that takes the folder, --threads, --cache and --seconds; by default the two beside this
file. --into names a run of a suite whose records of these cases are replaced by those taken here,
so that its goals against outside peers are judged by rounds that took turns.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PEERS = [f"{sys.executable} {HERE}/{name}"
         for name in ("onnxruntime_cpu.py", "bitsandbytes_cpu.py")]
# Exit codes that leave a run behind: 4, an answer was wrong and stands there as failed; 7, a row
# accepted none of the cases.
RAN = (0, 4, 7)


def run(command, allowed=(0,)):
    done = subprocess.run(command)
    if done.returncode not in allowed:
        raise SystemExit(f"{' '.join(command)}: exit {done.returncode}")


def records(folder):
    with open(os.path.join(folder, "records.jsonl")) as file:
        return [json.loads(line) for line in file]


def key(record):
    return record["case"], record["kernel"], record["threads"], record["cache"], record["clock"]


def gather(into, folder):
    """Add a round's samples to those of the rounds before."""
    for record in records(folder):
        if record["samples_ns"] is None:
            continue
        kept = into.setdefault(key(record), [])
        kept.append(record["samples_ns"])


def rewrite(folder, rounds):
    """The first round's records with the samples of every round."""
    lines = []
    for record in records(folder):
        mine = rounds.get(key(record))
        if mine:
            record["samples_ns"] = [ns for samples in mine for ns in samples]
            record["round_samples"] = [len(samples) for samples in mine]
            record["median_ns"] = statistics.median(record["samples_ns"])
            low, high = interval([statistics.median(samples) for samples in mine])
            record["low_ns"], record["high_ns"] = low, high
        lines.append(json.dumps(record))
    with open(os.path.join(folder, "records.jsonl"), "w") as file:
        file.write("\n".join(lines) + "\n")


def replace(run, folder):
    """Records of a run with those of the same case, row and setting that a folder has."""
    taken = {key(record): record for record in records(folder) if record["samples_ns"]}
    lines = []
    for record in records(run):
        fresh = taken.get(key(record))
        lines.append(json.dumps(record if fresh is None else {**fresh, "sweep": record["sweep"]}))
    with open(os.path.join(run, "records.jsonl"), "w") as file:
        file.write("\n".join(lines) + "\n")


def interval(medians):
    """Least and greatest round median: with five rounds and more, at least 94 % of intervals."""
    return min(medians), max(medians)


def peers_rounds(folder):
    """Round medians of each peer of an exported case."""
    found = {}
    for name in sorted(os.listdir(folder)):
        if name.endswith(".json") and name != "case.json":
            with open(os.path.join(folder, name)) as file:
                said = json.load(file)
            for timed in said["timings"]:
                setting = said["kernel"], timed["threads"], timed["cache"]
                found[setting] = [statistics.median(r) for r in timed["rounds"]]
    return found


def ratios(cases, rounds):
    """Per case and peer: each of our rows' round medians over the peer's, round by round."""
    for case, folder in cases:
        for (peer, threads, cache), theirs in peers_rounds(folder).items():
            for (id_, kernel, t, c, clock), samples in rounds.items():
                if (id_, t, c, clock) != (case, threads, cache, "wall"):
                    continue
                ours = [statistics.median(s) for s in samples]
                each = [b / a for a, b in zip(ours, theirs)]
                print(f"{kernel:<14} {statistics.median(ours) / 1e3:>10.1f} us  {peer:<20} "
                      f"{statistics.median(theirs) / 1e3:>10.1f} us  "
                      f"{statistics.median(each):>6.2f}x ({min(each):.2f}-{max(each):.2f})  {case}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lowbit", default="target/release/lowbit")
    parser.add_argument("--out", required=True)
    parser.add_argument("--case", action="append", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", choices=["hot", "cold"], default="hot")
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--kernel", action="append", default=[])
    parser.add_argument("--peer", action="append", default=[])
    parser.add_argument("--into")
    args = parser.parse_args()
    if args.rounds < 1 or os.path.exists(args.out):
        raise SystemExit(f"--out {args.out}: must not exist yet; --rounds: at least 1")
    os.makedirs(args.out)
    cases = []
    for i, id_ in enumerate(args.case):
        folder = os.path.join(args.out, f"case-{i}")
        run([args.lowbit, "export", "--case", id_, "--out", folder])
        with open(os.path.join(folder, "case.json")) as file:
            cases.append((json.load(file)["case"], folder))
    rows = [word for glob in args.kernel for word in ("--kernel", glob)]
    ids = [word for id_, _ in cases for word in ("--case", id_)]
    first, rounds = os.path.join(args.out, "run"), {}
    for number in range(args.rounds):
        folder = first if number == 0 else os.path.join(args.out, "round")
        shutil.rmtree(folder, ignore_errors=True)
        threads = ["--threads", str(args.threads)]
        run([args.lowbit, "measure", *ids, *rows, *threads, "--out", folder], RAN)
        gather(rounds, folder)
        for _, exported in cases:
            for peer in args.peer or PEERS:
                settings = ["--cache", args.cache, "--seconds", str(args.seconds)]
                run([*peer.split(), exported, *threads, *settings])
    shutil.rmtree(os.path.join(args.out, "round"), ignore_errors=True)
    rewrite(first, rounds)
    # A case that every peer skipped has no answer.
    exported = [folder for _, folder in cases if peers_rounds(folder)]
    run([args.lowbit, "merge", first, *exported], RAN)
    if args.into:
        replace(args.into, first)
        run([args.lowbit, "merge", args.into, *exported], RAN)
    ratios(cases, rounds)


if __name__ == "__main__":
    main()
