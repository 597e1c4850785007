"""Pick tokens out of windows and put them back."""


def take_tokens(tokens, ids):
    """Pick tokens of each window.

    Parameters
    ----------
    tokens : tensor of shape (B, N, D)
        All tokens of each window.
    ids : int64 tensor of shape (B, K)
        Tokens to pick, in the order they are wanted.

    Returns
    -------
    taken : tensor of shape (B, K, D)
        The tokens picked.

    Examples
    --------
    >>> import torch
    >>> take_tokens(torch.tensor([[[0.0], [1.0], [2.0]]]), torch.tensor([[2, 0]]))
    tensor([[[2.],
             [0.]]])
    """
    return tokens.gather(1, ids[:, :, None].expand(-1, -1, tokens.shape[2]))


def put_tokens(tokens, ids, n_tokens, fill):
    """Put tokens back in their places, and a fill in all other places.

    Parameters
    ----------
    tokens : tensor of shape (B, K, D)
        Tokens to place.
    ids : int64 tensor of shape (B, K)
        Their places.
    n_tokens : int
        Tokens in a window.
    fill : tensor that broadcasts to (B, n_tokens, D)
        What the other places get, such as the mask token.

    Returns
    -------
    filled : tensor of shape (B, n_tokens, D)
        Whole windows of tokens.

    Examples
    --------
    >>> import torch
    >>> put_tokens(torch.ones(1, 1, 1), torch.tensor([[1]]), 3, torch.zeros(1))
    tensor([[[0.],
             [1.],
             [0.]]])
    """
    n_windows, _, embed_dim = tokens.shape
    filled = fill.to(tokens.dtype).expand(n_windows, n_tokens, embed_dim)
    return filled.scatter(1, ids[:, :, None].expand(-1, -1, embed_dim), tokens)
