"""`nlpcli devices`: what there is to compute on."""

import sys

import typer

from nlpcli import device

app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})


@app.command()
def devices() -> None:
    """Show the processors and GPUs of this machine, and the number formats each computes in.

    The first device, and its first number format, are what --device auto takes.
    """
    found = [*device.cuda_devices(), *device.torch_devices("mps"), *device.torch_devices("xpu")]
    rows = []
    for each in [*found, device.cpu_device()]:
        threads = str(device.cpu_threads()) if each.device == "cpu" else ""
        memory = f"{each.memory / 2**30:.1f} GiB" if each.memory else ""
        rows.append((each.device, each.name, memory, threads, ", ".join(each.dtypes)))
    heads = ("device", "name", "memory", "threads", "formats")
    if not sys.stdout.isatty():
        for row in [heads, *rows]:
            print("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
