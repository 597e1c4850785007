"""Where a token comes from: which parcel, and when."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from sklearn_brainlm.modules.choices import check_choice


def time_code(n_columns, embed_dim):
    """Encode patch columns as interleaved sines and cosines.

    Parameters
    ----------
    n_columns : int
        Patch columns; there is no upper bound.
    embed_dim : int
        Even embedding dimension.

    Returns
    -------
    code : tensor of shape (n_columns, embed_dim)
        ``sin(j * w_i)`` in column ``2i`` and ``cos(j * w_i)`` in column ``2i + 1``, with
        ``w_i = 10000 ** (-2i / embed_dim)``.

    Notes
    -----
    Section 3.2 of the article: temporal encoding of the patches.
    """
    angles = _angles(n_columns, embed_dim)
    return torch.stack([angles.sin(), angles.cos()], dim=2).reshape(n_columns, embed_dim).float()


def image_code(n_rows, n_columns, embed_dim):
    """Encode the token grid as an image: two dimensions of sines and cosines.

    Parameters
    ----------
    n_rows, n_columns : int
        Token grid.
    embed_dim : int
        Embedding dimension, a multiple of four.

    Returns
    -------
    code : tensor of shape (n_rows * n_columns, embed_dim)
        The first half of the embedding tells the column, the second half the row.
    """
    column, row = _half_code(n_columns, embed_dim), _half_code(n_rows, embed_dim)
    grid = [column.expand(n_rows, -1, -1), row[:, None].expand(-1, n_columns, -1)]
    return torch.cat(grid, dim=2).reshape(n_rows * n_columns, embed_dim)


class ParcelEmbedding(nn.Module):
    """Embed token rows by where their parcels lie, by a learned table, or by both.

    Parameters
    ----------
    embed_dim : int
        Embedding dimension D.
    parcel_coords : tensor of shape (n_rows, 3) or None
        MNI coordinates of the rows in millimetres.
    kind : {"xyz", "learned", "both"}, default="xyz"
        Linear function of the coordinates, one learned vector a row, or their sum.
    n_rows : int, optional
        Rows of the table, when there are no coordinates to count.
    xyz_scale : float, default=1.0
        The coordinates are multiplied by this first.

    Raises
    ------
    ValueError
        If `kind` is unknown, or asks for coordinates or a number of rows that is not there.

    Notes
    -----
    Section 3.2 of the article: spatial encoding from the coordinates of each parcel.

    Examples
    --------
    >>> parcel_embedding = ParcelEmbedding(8, torch.tensor([[-40.0, 20.0, 5.0]]))
    >>> parcel_embedding(torch.tensor([[0, 0]])).shape
    torch.Size([1, 2, 8])
    """

    def __init__(self, embed_dim, parcel_coords=None, kind="xyz", n_rows=None, xyz_scale=1.0):
        super().__init__()
        check_choice("parcel_embedding", kind, ("xyz", "learned", "both"))
        self.xyz = self.table = None
        if kind != "learned":
            if parcel_coords is None:
                raise ValueError(
                    f"parcel_embedding={kind!r} needs parcel_coords; without them use 'learned'."
                )
            coords = torch.as_tensor(parcel_coords, dtype=torch.float32) * xyz_scale
            # The coordinates belong to the atlas, not to the weights.
            self.register_buffer("coords", coords, persistent=False)
            self.xyz = nn.Linear(3, embed_dim)
        if kind != "xyz":
            if n_rows is None and parcel_coords is None:
                raise ValueError(f"parcel_embedding={kind!r} needs n_rows.")
            self.table = nn.Parameter(
                torch.empty(len(parcel_coords) if n_rows is None else n_rows, embed_dim)
            )
            nn.init.normal_(self.table, std=0.02)

    def forward(self, rows):
        """Embed rows.

        Parameters
        ----------
        rows : int64 tensor of any shape
            Token rows.

        Returns
        -------
        embedding : tensor of shape rows.shape + (D,)
            One vector a row asked for.

        Raises
        ------
        ValueError
            If the coordinates were taken out because nobody knows them.
        """
        if self.xyz is not None and self.coords is None:
            raise ValueError(
                "The network places parcels by their coordinates and has none: give parcel_coords."
            )
        if self.table is None:
            return self.xyz(self.coords[rows])
        learned = F.embedding(rows, self.table)
        return learned if self.xyz is None else learned + self.xyz(self.coords[rows])


class TokenPositions(nn.Module):
    """Add up what says which parcels and which time a token comes from.

    Parameters
    ----------
    embed_dim : int
        Embedding dimension D.
    n_rows : int
        Token rows R.
    parcel_embedding : ParcelEmbedding or None
        With it a position is the row's parcel embedding plus the column's time code; without it,
        the image code of row and column.

    Raises
    ------
    ValueError
        If sines and cosines do not fill `embed_dim`: two for each rate, four in the image code.

    Examples
    --------
    >>> TokenPositions(8, n_rows=3)(torch.tensor([[0, 5]]), n_columns=2).shape
    torch.Size([1, 2, 8])
    """

    def __init__(self, embed_dim, n_rows, parcel_embedding=None):
        super().__init__()
        share = 4 if parcel_embedding is None else 2
        if embed_dim % share:
            raise ValueError(f"An embedding dimension of {embed_dim} is no multiple of {share}.")
        self.embed_dim = embed_dim
        self.n_rows = n_rows
        self.parcel_embedding = parcel_embedding

    def forward(self, ids, n_columns):
        """Embed the positions of tokens.

        Parameters
        ----------
        ids : int64 tensor of shape (B, K)
            Tokens.
        n_columns : int
            Patch columns C of the window.

        Returns
        -------
        positions : tensor of shape (B, K, D)
            What is added to these tokens.
        """
        if self.parcel_embedding is None:
            return F.embedding(
                ids, image_code(self.n_rows, n_columns, self.embed_dim).to(ids.device)
            )
        times = time_code(n_columns, self.embed_dim).to(ids.device)
        return self.parcel_embedding(ids // n_columns) + times[ids % n_columns]


def _angles(n_positions, n_channels):
    """Return (n_positions, n_channels / 2) angles, the slowest 10000 times slower."""
    # In double precision, so that column 5000 is as exact as column 5.
    rates = torch.arange(0, n_channels, 2, dtype=torch.float64) * (-math.log(1e4) / n_channels)
    return torch.arange(n_positions, dtype=torch.float64)[:, None] * rates.exp()


def _half_code(n_positions, embed_dim):
    """Encode one axis of the grid in embed_dim / 2 channels: all sines, then all cosines."""
    angles = _angles(n_positions, embed_dim // 2)
    return torch.cat([angles.sin(), angles.cos()], dim=1).float()
