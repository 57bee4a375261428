"""A load test of any running server.

Closed loop, 32 calls in flight:      python -m benchmarks.load --target 127.0.0.1:50051
Open loop, 500 calls a second:        python -m benchmarks.load --target ... --rate 500
Latency over throughput, as a plot:   python -m benchmarks.load --target ... --sweep 250,500,1000 --plot sweep.svg
Ratio to another server:              python -m benchmarks.load --target ... --compare 127.0.0.1:50050

An open loop's latency counts from the time at which a call was to be sent, so that a server's stalls show. A ratio is
the median over rounds in which the two take turns, so that what else the machine does meets both alike; the other
server may be `benchmarks.noop`. With --gallery, what the server's data folder was filled with (benchmarks.scale.fill),
mates are known, and a sample of the answers is checked; exits 1 when a mate was missed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
from benchmarks.galleries import DIMENSION
from benchmarks.loading import decks, report
from benchmarks.loading.channels import resolved
from benchmarks.loading.crew import Crew
from benchmarks.loading.kinds import KINDS
from benchmarks.loading.phase import Phase
from benchmarks.loading.tally import Tally

from gerbang import GerbangError, WatchlistClient

Result = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; returns the exit status."""
    options = _parser().parse_args(arguments)
    phase = _phase(options)
    targets = [options.target, *([options.compare] if options.compare else [])]
    about = [describe_target(each) for each in targets]
    for address, facts in zip(targets, about, strict=True):
        print(f"{address}: {facts}")
    kinds = {options.kind, options.compare_kind or options.kind}
    made = {kind: deck(kind, options, int(about[0].get("dimension", DIMENSION))) for kind in kinds}
    with Crew(targets, made, options.processes, options.channels) as crew:
        if options.compare:
            result = compare(crew, phase, options)
        elif options.sweep:
            result = sweep(crew, phase, options.sweep, options.plot)
        else:
            tally = crew.run(phase)
            print(report.line(phase.kind, tally))
            result = tally.summary()
    if options.json:
        command = {name: str(value) for name, value in vars(options).items() if value is not None}
        report.write(options.json, {"options": command, "targets": about, "result": result})
    return 1 if _missed(result) else 0


def describe_target(address: str) -> Result:
    """Return what a server says of itself; a server without a WatchlistService is a no-op."""
    host, credentials = resolved(address)
    try:
        # In the clear to wherever it is: what a load test sends is nobody's face.
        with WatchlistClient(host, timeout=10, credentials=credentials, insecure=True) as office:
            info = office.server_info()
    except GerbangError as error:
        if isinstance(error.__cause__, grpc.RpcError) and error.__cause__.code() is grpc.StatusCode.UNIMPLEMENTED:
            return {"no-op": True}
        raise SystemExit(f"{address}: {error}") from error
    facts = {"version": info.version, "gallery_size": info.gallery_size, "dimension": info.dimension}
    return {**facts, "graph_pending": info.graph.pending}


def compare(crew: Crew, phase: Phase, options: argparse.Namespace) -> Result:
    """Let two targets take turns; the ratio of a round is that of two neighbours."""
    other = replace(phase, target=1, kind=options.compare_kind or phase.kind)
    if describe_target(options.compare).get("no-op"):
        other = replace(other, check_every=0)
    rounds: list[tuple[Tally, Tally]] = []
    for number in range(options.rounds):
        order = (phase, other) if number % 2 == 0 else (other, phase)
        found = {each.target: crew.run(each) for each in order}
        rounds.append((found[0], found[1]))
        rates = f"{found[0].per_s:,.1f}/s and {found[1].per_s:,.1f}/s"
        print(f"round {number + 1}: {rates}: {_ratio(*rounds[-1]):.3f}", flush=True)
    totals = [Tally(), Tally()]
    for pair in rounds:
        for total, each in zip(totals, pair, strict=True):
            total.merge(each)
    for total in totals:
        total.seconds = phase.seconds * len(rounds)
    ratios = [_ratio(*each) for each in rounds]
    names = (f"{phase.kind} at {options.target}", f"{other.kind} at {options.compare}")
    for name, total in zip(names, totals, strict=True):
        print(report.line(name, total))
    ratio = {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}
    print("ratio: " + ", ".join(f"{name} {value:.3f}" for name, value in ratio.items()))
    medians = [round(statistics.median(pair[i].per_s for pair in rounds), 1) for i in range(2)]
    return {"ratio": ratio, "median_per_s": medians, "rounds": ratios, "totals": [each.summary() for each in totals]}


def sweep(crew: Crew, phase: Phase, rates: Sequence[float], plot: Path | None) -> Result:
    """Offer one rate after the other in an open loop."""
    found: list[tuple[float, Tally]] = []
    for rate in rates:
        tally = crew.run(replace(phase, rate=rate))
        print(report.line(f"{phase.kind}, {rate:g} calls/s offered", tally), flush=True)
        found.append((rate, tally))
    if plot:
        plot.parent.mkdir(parents=True, exist_ok=True)
        plot.write_text(report.sweep_plot(f"{phase.kind}: latency over throughput, open loop", found))
    return {f"{rate:g}": tally.summary() for rate, tally in found}


def deck(kind: str, options: argparse.Namespace, dimension: int) -> decks.Deck:
    """Make the requests of a kind that the options ask for."""
    watchlists = (options.watchlist,) if options.watchlist else ()
    if kind.startswith("enrol") and not options.photos:
        return decks.NewPeople(dimension, watchlists)
    gallery = decks.facelike_gallery(options.gallery) if options.gallery else None
    if options.photos:
        probes = decks.photographs(options.photos)
    elif options.probes:
        probes = decks.from_file(options.probes)
    elif gallery is not None:
        probes = decks.mixed(gallery, options.requests, options.mated, options.cosine, options.seed)
    else:
        probes = decks.strangers(options.requests, dimension)
    if kind.startswith("enrol"):
        return decks.enrol_photographs(probes, watchlists)
    if kind == "verify":
        return decks.verify(probes, gallery, options.seed)
    return decks.identify_batch(probes, options.batch) if kind == "identify-batch" else decks.identify(probes)


def _phase(options: argparse.Namespace) -> Phase:
    return Phase(
        target=0,
        kind=options.kind,
        seconds=options.seconds,
        warm_up_s=options.warm_up,
        clients=options.clients,
        rate=options.rate,
        arrivals=options.arrivals,
        deadline_s=options.deadline,
        check_every=options.check_every,
        seed=options.seed,
    )


def _ratio(ours: Tally, others: Tally) -> float:
    return ours.per_s / others.per_s if others.per_s else float("nan")


def _missed(result: Any) -> int:  # noqa: ANN401 - nested results
    if isinstance(result, dict):
        return int(result.get("mates_missed", 0)) + sum(_missed(each) for each in result.values())
    return sum(_missed(each) for each in result) if isinstance(result, list) else 0


def _rates(text: str) -> list[float]:
    return [float(each) for each in text.split(",")]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add(
        "--target",
        required=True,
        help="HOST:PORT of the server; over mutual TLS HOST:PORT@FOLDER/NAME, as of gerbang certs",
    )
    add("--compare", help="HOST:PORT of another server, which takes turns with the first")
    add("--compare-kind", choices=KINDS, help="what the other one is asked (default: the same)")
    add("--rounds", type=int, default=5, help="of --compare")
    add("--kind", choices=KINDS, default="identify")
    add("--clients", type=int, default=32, help="closed loop: calls in flight, over all processes")
    add("--rate", type=float, help="open loop: calls a second, over all processes")
    add("--sweep", type=_rates, help="open loop: several rates, as 250,500,1000")
    add("--arrivals", choices=("poisson", "even"), default="poisson", help="of the open loop")
    add("--seconds", type=float, default=10.0, help="counted, of each run, round or rate")
    add("--warm-up", type=float, default=1.0, help="seconds before them, not counted")
    add("--deadline", type=float, default=5.0, help="of a unary call, seconds")
    add("--processes", type=int, default=1, help="client processes")
    add("--channels", type=int, default=4, help="connections of each process; each carries one stream")
    add("--batch", type=int, default=64, help="probes of an identify-batch call")
    add("--probes", type=Path, help="a .npy file of probes, float32 (n, dimension)")
    add("--photos", type=Path, help="a folder of photographs as probes or people to enrol")
    add("--gallery", help="what the server holds: a .npy file, or a number of face-like templates")
    add("--mated", type=float, default=0.1, help="share of the probes that are mates of somebody in --gallery")
    add("--cosine", type=float, default=0.5, help="similarity of such a probe to its mate")
    add("--requests", type=int, default=2000, help="different probes, sent over and over")
    add("--check-every", type=int, default=10, help="of the answers with a known mate; 1: all, 0: none")
    add("--watchlist", default="all", help="list that new people are put on, which must exist; empty: none")
    add("--seed", type=int, default=1)
    add("--json", type=Path, help="write the result to this file")
    add("--plot", type=Path, help="write the plot of --sweep, SVG, to this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
