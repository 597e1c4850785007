"""First and last layer of a picture whose channels are all the same, as in the released models."""

from torch import nn
from torch.nn import functional as F


class ChannelEmbedding(nn.Linear):
    """Embed patches of a picture whose channels are all the same.

    Parameters
    ----------
    n_channels : int
        Channels, each with weights of its own.
    patch_size : int
        Values in a patch of one channel.
    embed_dim : int
        Embedding dimension D.

    Examples
    --------
    >>> import torch
    >>> ChannelEmbedding(n_channels=3, patch_size=4, embed_dim=8)(torch.zeros(1, 5, 4)).shape
    torch.Size([1, 5, 8])
    """

    def __init__(self, n_channels, patch_size, embed_dim):
        super().__init__(n_channels * patch_size, embed_dim)
        self.n_channels = n_channels

    def forward(self, patches):
        """Embed patches.

        Parameters
        ----------
        patches : tensor of shape (B, N, patch_size)
            Patches of any one channel.

        Returns
        -------
        embedded : tensor of shape (B, N, D)
            Embedded patches.
        """
        # Equal channels: their weights are added up once, before the product.
        weight = self.weight.unflatten(1, (self.n_channels, -1)).sum(1)
        return F.linear(patches, weight, self.bias)


class ChannelHead(nn.Linear):
    """Predict patches of a picture, averaged over its channels.

    Parameters
    ----------
    embed_dim : int
        Embedding dimension D.
    patch_size : int
        Values in a patch of one channel.
    n_channels : int
        Channels, each with weights of its own.

    Examples
    --------
    >>> import torch
    >>> ChannelHead(embed_dim=8, patch_size=4, n_channels=3)(torch.zeros(1, 5, 8)).shape
    torch.Size([1, 5, 4])
    """

    def __init__(self, embed_dim, patch_size, n_channels):
        super().__init__(embed_dim, patch_size * n_channels)
        self.n_channels = n_channels

    def forward(self, tokens):
        """Predict patches.

        Parameters
        ----------
        tokens : tensor of shape (B, N, D)
            Decoded tokens.

        Returns
        -------
        patches : tensor of shape (B, N, patch_size)
            The mean of the channels.
        """
        weight = self.weight.unflatten(0, (-1, self.n_channels)).mean(1)
        return F.linear(tokens, weight, self.bias.unflatten(0, (-1, self.n_channels)).mean(1))
