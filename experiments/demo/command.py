"""``leverframe demo``."""

from pathlib import Path

import click

from leverframe.agents.cli.options import examples

__all__ = ["demo"]


@click.command(
    epilog=examples(
        "leverframe demo",
        "leverframe demo --keep",
        "leverframe demo --scenario shadow",
        "leverframe demo --scenario labels --requests 5000",
        "leverframe demo --scenario estate",
        "leverframe demo --scenario gateway",
        "leverframe demo --scenario ramp",
    )
)
@click.option(
    "--scenario",
    type=click.Choice(["rollback", "shadow", "labels", "estate", "gateway", "ramp"]),
    default="rollback",
    show_default=True,
    help="A model that wins and breaks, one that is proved at no traffic, a day of labels, or "
    "topics that were there first, services that decide over HTTP, or ramps that wait and end.",
)
@click.option(
    "--duration",
    default=600.0,
    show_default=True,
    help="Give up after so many seconds; the demo counts labels and ends when its story is told.",
)
@click.option("--seed", default=7, show_default=True, help="Of data split, requests and models.")
@click.option(
    "--rate", type=float, default=None, help="Requests a second; 600, with --scenario shadow 100."
)
@click.option("--keep", is_flag=True, help="Leave broker and worker running.")
@click.option("--tty/--no-tty", default=True, help="Live view, or plain lines.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-output"),
    show_default=True,
    help="Folder for summary.json, control.jsonl, traffic.png and worker.log.",
)
@click.option(
    "--requests", default=20_000, show_default=True, help="Of the scenario labels, in its day."
)
def demo(
    scenario: str,
    duration: float,
    seed: int,
    rate: float | None,
    output: Path,
    requests: int,
    *,
    keep: bool,
    tty: bool,
) -> None:
    """Show the whole loop on this machine: a better model wins traffic, breaks, is rolled back.

    With --scenario shadow: the new model answers beside the others, without traffic, until it is
    proved to be better on the same requests; then it takes over, breaks, and is rolled back.

    With --scenario labels: early, late, repeated, changed, withdrawn, missing and slow labels, and
    a worker killed at noon; in the end the oracle's statistics beside ours. Only --seed, --requests
    and --output matter there.

    With --scenario estate: decisions in Avro, keyed by customer, and outcomes off a database table
    become predictions and labels by twenty lines of settings, and move the traffic.

    With --scenario gateway: a service in Node and one in Python decide through OpenFeature, labels
    are posted by curl, and both see a rollback.

    With --scenario ramp: a slow model is off by its latency alone, a ramp waits for labels, breaks
    at half of the traffic, is rolled back, and the next one ends with a person's yes.

    Exit code 0 only if the shift and the rollback really happened, or no statistic differs.
    """
    try:
        from leverframe.experiments.demo.scenario import DemoOptions, run_demo
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"{error.name} is missing; the demo needs: pip install 'leverframe[demo]'"
        ) from error
    if scenario == "labels":
        _labels(seed, requests, output)
        return
    if scenario == "estate":
        _estate(seed, rate or 300.0, duration, output)
        return
    if scenario == "gateway":
        _gateway(seed, rate or 200.0, duration, output)
        return
    if scenario == "ramp":
        _ramp(seed, rate or 150.0, duration, output)
        return
    summary = run_demo(
        DemoOptions(
            duration_s=duration, seed=seed, rate=rate, keep=keep, tty=tty, output=output,
            scenario=scenario,
        )
    )  # fmt: skip
    show(summary, output)
    if summary.failure is not None:
        click.echo(f"the demo did not reach its end: {summary.failure}", err=True)
        raise SystemExit(1)


def _labels(seed: int, requests: int, output: Path) -> None:
    from rich.console import Console

    from leverframe.experiments.demo.day_run import DayOptions, run_day

    console = Console(highlight=False, width=None if Console().is_terminal else 160)
    options = DayOptions(seed=seed, requests=requests, output=output)
    if not run_day(options, console):
        raise click.ClickException(f"our statistics differ from the oracle's; see {output}")


def _estate(seed: int, rate: float, duration: float, output: Path) -> None:
    from rich.console import Console

    from leverframe.experiments.demo.estate_run import EstateOptions, run_estate

    console = Console(highlight=False, width=None if Console().is_terminal else 160)
    options = EstateOptions(seed=seed, rate=rate, duration_s=duration, output=output)
    if not run_estate(options, console):
        raise click.ClickException(f"something did not come to what it must; see {output}")


def _gateway(seed: int, rate: float, duration: float, output: Path) -> None:
    from rich.console import Console

    from leverframe.experiments.demo.gateway_run import GatewayOptions, run_gateway_demo

    console = Console(highlight=False, width=None if Console().is_terminal else 160)
    options = GatewayOptions(seed=seed, rate=rate, duration_s=duration, output=output)
    if not run_gateway_demo(options, console):
        raise click.ClickException(f"a service did not see the rollback in time; see {output}")


def _ramp(seed: int, rate: float, duration: float, output: Path) -> None:
    from rich.console import Console

    from leverframe.experiments.demo.ramp_run import RampOptions, run_ramp_demo

    console = Console(highlight=False, width=None if Console().is_terminal else 160)
    options = RampOptions(seed=seed, rate=rate, duration_s=duration, output=output)
    if not run_ramp_demo(options, console):
        raise click.ClickException(f"the ramps did not end as they must; see {output}")


def show(summary: object, output: Path) -> None:
    """Print the figures as a table."""
    from msgspec import to_builtins
    from rich.console import Console
    from rich.table import Table

    figures = to_builtins(summary)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")

    def row(text: str, value: float | None, form: str, unit: str = "") -> None:
        table.add_row(text, "-" if value is None else f"{value:{form}}{unit}")

    row("labels until most traffic moved", figures["labels_until_shift"], ",d")
    row("  in seconds", figures["seconds_until_shift"], ".1f", " s")
    if figures["proved_on_pairs"] is not None:
        row("  requests on which it was proved", figures["proved_on_pairs"], ",d")
        row("  its share of the traffic until then", figures["share_before_proof"], ".0%")
    row("labels of the broken arm until rollback", figures["labels_until_rollback"], ",d")
    row("  up to the one that decided, in shadow too", figures["labels_until_decision"], ",d")
    row(
        "  from the break, label delay included",
        figures["milliseconds_until_rollback"],
        ",.0f",
        " ms",
    )
    row(
        "  from the deciding label to the subscriber",
        figures["decision_milliseconds"],
        ",.0f",
        " ms",
    )
    row("mean reward", figures["mean_reward"], ".4f")
    row("  had the first champion answered everything", figures["static_mean_reward"], ".4f")
    row("  gained over static routing", figures["gain_over_static"], "+.4f")
    Console(highlight=False).print(table)
    click.echo(
        f"files: {', '.join(str(path) for path in sorted(output.iterdir()) if path.is_file())}"
    )
