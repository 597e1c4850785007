"""``weights``: the weights that are known by name, and how to get them."""

__all__ = ["add_weights"]


def add_weights(commands):
    """Add the commands and their options.

    Parameters
    ----------
    commands : action of argparse
        The commands there are.
    """
    weights = commands.add_parser("weights", help="list released weights, and download them")
    own = weights.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = own.add_parser("list", help="name the weights that are known, and their terms")
    listing.set_defaults(run=_list)
    download = own.add_parser("download", help="get weights from the hub, and print where they are")
    download.set_defaults(run=_download)
    download.add_argument("source", metavar="NAME", help="a name of `weights list`, or a hub id")
    download.add_argument("--subfolder", metavar="NAME", help="of the repository")
    download.add_argument("--revision", metavar="COMMIT", help="commit, tag or branch")
    download.add_argument("--sha256", metavar="DIGEST", help="what that of the file must be")


def _list(options):
    """Print a line for each."""
    from sklearn_brainlm.catalogue import list_weights

    for known in list_weights():
        size = "" if known.n_parameters is None else f"{known.n_parameters / 1e6:.0f}M parameters"
        print(
            f"{known.name:<14}{size:<17}{known.parcels} parcels, t_r {known.t_r:g} s, "
            f"windows of {known.window_length}  {known.repository}/{known.subfolder}"
        )
        print(f"{'':<14}{known.licence}")


def _download(options):
    """Print where the file of weights is."""
    from sklearn_brainlm.weights import locate_weights

    where = (options.source, options.subfolder, options.revision, options.sha256)
    print(locate_weights(*where)[0])
