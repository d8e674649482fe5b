"""hairmask evaluate: masks measured against true ones."""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import PhotoError, UsageError
from ..evaluation.evaluate import evaluate, find_pairs, format_table, progress_bar
from ..evaluation.plot import plot_curve
from ..pipeline import find_matte
from .common import add_network, add_quality, check_output, make_parser, positive, start_model


def run(args) -> int:
    """Measure the masks, print the figures, and write what was asked for. Returns the exit status."""
    if args.plot:
        check_output(args.plot, [])
    if args.json and not args.json.parent.is_dir():
        raise UsageError(f"The folder {args.json.parent} does not exist: make it first, or write somewhere else.")
    pairs = find_pairs(args.images, args.masks, args.limit)
    model = start_model(args)
    with progress_bar(len(pairs)) as advance:
        result = evaluate(pairs, lambda photo: find_matte(photo, model, not args.raw).matte, advance)
    result |= {"model": model.card.name, "device": model.device, **model.settings, "refined": not args.raw}
    print(format_table(result))
    if args.json:
        try:
            args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise PhotoError(f"{args.json} cannot be written ({error.strerror}): check the folder.") from error
    if args.plot:
        plot_curve(result, args.plot)
    return 0


def add_parser(commands) -> None:
    """Add the command to the subparsers of `hairmask`."""
    parser = make_parser(
        commands.add_parser,
        "Measure the masks against true ones, pairing photos and masks by file stem.",
        """
        hairmask evaluate --images photos --masks masks
        hairmask evaluate --images photos --masks masks --json result.json --plot curve.png
        """,
        name="evaluate",
    )
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="the photos")
    parser.add_argument("--masks", type=Path, required=True, metavar="DIR", help="true masks, white is hair")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure as JSON")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the precision-recall curve")
    parser.add_argument("--limit", type=positive, metavar="N", help="only the first N photos")
    parser.add_argument("--raw", action="store_true", help="measure the network's own map, without refinement")
    add_network(parser)
    add_quality(parser)
    parser.set_defaults(command=run)
