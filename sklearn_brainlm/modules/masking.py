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


def last_frames(n_timepoints, n_masked, image_size, patch_length, whole_patches):
    """Say how the release masks the last timepoints of a window in the middle of a picture.

    Parameters
    ----------
    n_timepoints : int
        Timepoints T of the window.
    n_masked : int
        How many of them to mask.
    image_size : int
        Columns of the picture.
    patch_length : int
        Columns of a patch.
    whole_patches : bool
        Mask all patches that hold such a timepoint; else those that hold no other timepoint of
        the window before them, and set the remaining timepoints to zero.

    Returns
    -------
    masked : slice
        Patch columns to mask.
    zeroed : slice
        Columns of the picture to set to zero.
    counted : slice
        Timepoints of the window that count as masked beside those of masked patches. It is taken
        from the end, as in the release: a mask smaller than the last patch may count nothing.

    Examples
    --------
    >>> last_frames(200, 20, image_size=432, patch_length=16, whole_patches=True)
    (slice(18, 20, None), slice(0, 0, None), slice(0, 0, None))
    >>> last_frames(200, 20, image_size=432, patch_length=16, whole_patches=False)
    (slice(19, 20, None), slice(296, 304, None), slice(-20, -12, None))
    """
    end = (image_size - n_timepoints) // 2 + n_timepoints
    last = -(-end // patch_length)
    n_columns, is_mixed = divmod(last * patch_length - (end - n_masked), patch_length)
    if whole_patches:
        return slice(last - n_columns - bool(is_mixed), last), slice(0, 0), slice(0, 0)
    first = (last - n_columns) * patch_length
    n_zeroed = max(n_masked - (end - first), 0)
    return (
        slice(last - n_columns, last),
        slice(first - n_zeroed, first),
        slice(-n_masked, first - end),
    )
