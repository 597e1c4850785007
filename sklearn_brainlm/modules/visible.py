"""What is visible of a window, and the systems that it takes to fill in the rest.

Timepoints that see the same parcels are put together as a pattern, so that a system is solved once
for all of them. It is as large as the visible parcels, or as the hidden ones, whichever are fewer.
"""

from abc import ABC, abstractmethod

import torch


def group_timepoints(visible, recorded):
    """Put timepoints of a window together that see the same parcels.

    Parameters
    ----------
    visible : bool tensor of shape (C, P)
        Parcels that may be used in each patch column.
    recorded : bool tensor of shape (T,)
        Timepoints that may be used; T is a multiple of C.

    Returns
    -------
    patterns : Patterns
        What is visible when; kept in the form that is cheaper to solve.

    Examples
    --------
    >>> visible = torch.tensor([[True, False, True], [False, False, False], [True, False, True]])
    >>> patterns = group_timepoints(visible, torch.ones(6, dtype=torch.bool))
    >>> patterns.parcels.tolist(), patterns.hidden.tolist(), patterns.timepoints.tolist()
    ([[0, 2]], [[1]], [[0, 1, 4, 5]])
    """
    distinct, which = torch.unique(visible, dim=0, return_inverse=True)
    which = which.repeat_interleave(len(recorded) // len(visible))  # (T,)
    numbers = torch.arange(len(distinct), device=visible.device)
    at = (which == numbers[:, None]) & recorded  # (patterns, T)
    used = distinct.any(1) & at.any(1)
    distinct, at = distinct[used], at[used]
    few = 2 * distinct.sum() <= distinct.numel()
    return (_FewVisible if few else _MostVisible)(distinct, at, recorded)


class Patterns(ABC):
    """Which parcels of a window are visible at which timepoints.

    Of G patterns the longest has n visible parcels, h hidden ones and m timepoints. Others are
    filled up and marked so: all tensors have one shape, and none is larger than it has to be.

    Parameters
    ----------
    visible : bool tensor of shape (G, P)
        Visible parcels of each pattern, some of them or all.
    at : bool tensor of shape (G, T)
        Timepoints of each pattern, at least one.
    recorded : bool tensor of shape (T,)
        Recorded timepoints, those included at which nothing is visible.

    Attributes
    ----------
    shown : float tensor of shape (T, P)
        One at every value that may be used, else zero.
    parcels, hidden, timepoints : int64 tensors of shape (G, n), (G, h), (G, m)
        Visible parcels, hidden parcels and timepoints.
    is_visible, is_hidden, is_used : float tensors of shape (G, n), (G, h), (G, m)
        Zero where they were filled up.
    n_recorded, n_blind : tensors of shape ()
        Recorded timepoints, and those of them at which nothing is visible.

    Examples
    --------
    >>> visible, recorded = torch.tensor([[True, True, False]]), torch.ones(4, dtype=torch.bool)
    >>> patterns = group_timepoints(visible, recorded)
    >>> inverses = patterns.invert(0.5 + 0.5 * torch.eye(3), ridge=0.0)
    >>> window = torch.tensor([[3.0, 3.0, 0.0]]).expand(4, 3)
    >>> filled, _ = patterns.complete(0.5 + 0.5 * torch.eye(3), inverses, window)
    >>> filled[0].round(decimals=3)
    tensor([3., 3., 2.])
    """

    def __init__(self, visible, at, recorded):
        self.shown = at.float().T @ visible.float()
        self.recorded, self.n_recorded = recorded, recorded.sum()
        self.n_blind = self.n_recorded - at.sum()
        self.parcels, self.is_visible = _true_first(visible)
        self.hidden, self.is_hidden = _true_first(~visible)
        self.timepoints, self.is_used = _true_first(at)

    @abstractmethod
    def pack(self, window):
        """Keep the visible values of a window.

        Parameters
        ----------
        window : tensor of shape (T, P)
            A window.

        Returns
        -------
        values : tensor of shape (G, m, n) or (T, P)
            Its visible values, and zeros.
        """

    @abstractmethod
    def unpack(self, values):
        """Put visible values back to their places.

        Parameters
        ----------
        values : tensor of shape (G, m, n) or (T, P)
            Visible values.

        Returns
        -------
        window : tensor of shape (T, P)
            A window of them, and zeros.
        """

    @abstractmethod
    def invert(self, covariance, ridge):
        """Solve what filling in takes, timepoint by timepoint.

        Parameters
        ----------
        covariance : tensor of shape (P, P)
            Covariance of the parcels.
        ridge : float or tensor of shape ()
            Added to the variances of visible parcels.

        Returns
        -------
        inverses : tuple of tensors
            For `complete` and `precondition`. Not a number where there is no inverse.
        """

    @abstractmethod
    def complete(self, covariance, inverses, window):
        """Fill hidden parcels from the visible ones of the same timepoint.

        Parameters
        ----------
        covariance : tensor of shape (P, P)
            Covariance of the parcels.
        inverses : tuple of tensors
            From `invert`.
        window : tensor of shape (T, P)
            Zero at hidden values and at timepoints that were not recorded.

        Returns
        -------
        filled : tensor of shape (T, P)
            Conditional mean in the place of hidden values.
        spread : tensor of shape (P, P)
            Conditional covariance of hidden values, summed over recorded timepoints.
        """

    @abstractmethod
    def precondition(self, inverses):
        """Solve for visible values as if timepoints had nothing to do with each other.

        Parameters
        ----------
        inverses : tuple of tensors
            From `invert`.

        Returns
        -------
        solve : callable
            From visible values to visible values.
        """

    @abstractmethod
    def mix(self, mixing):
        """Go from visible values to components and back.

        Parameters
        ----------
        mixing : tensor of shape (P, P)
            How components mix into parcels.

        Returns
        -------
        unmix, mix : callables
            From visible values to components (T, P) by the transpose of the mixing, and from
            components to visible values by the mixing.
        """

    def _fill(self, window, predicted):
        """Add what is predicted (G, m, h) of the hidden parcels to a window (T, P)."""
        predicted = predicted * self.is_used[:, :, None] * self.is_hidden[:, None]
        places = (self.timepoints[:, :, None], self.hidden[:, None])
        return window.index_put(places, predicted, accumulate=True)

    def _sum_spread(self, covariance, spread):
        """Sum the covariance (G, h, h) of hidden parcels over timepoints, (P, P)."""
        spread = spread * self.is_used.sum(1)[:, None, None]
        pairs = (self.hidden[:, :, None], self.hidden[:, None])
        return (self.n_blind * covariance).index_put(pairs, spread, accumulate=True)


class _FewVisible(Patterns):
    """Patterns of which fewer parcels are visible than hidden: only visible values are kept."""

    def pack(self, window):
        """Return the visible values (G, m, n) of a window (T, P)."""
        values = window[self.timepoints[:, :, None], self.parcels[:, None]]
        return values * self.is_used[:, :, None] * self.is_visible[:, None]

    def unpack(self, values):
        """Return visible values (G, m, n) at their places in a window (T, P) of zeros."""
        places = (self.timepoints[:, :, None], self.parcels[:, None])
        return values.new_zeros(self.shown.shape).index_put(places, values, accumulate=True)

    def invert(self, covariance, ridge):
        """Invert the covariance of the visible parcels plus a ridge."""
        return (_invert(covariance, self.parcels, self.is_visible, ridge),)

    def complete(self, covariance, inverses, window):
        """Fill in hidden parcels from the visible ones; return their summed covariance, too."""
        (inverse,) = inverses
        known = covariance[self.parcels[:, :, None], self.hidden[:, None]]
        known = known * self.is_visible[:, :, None] * self.is_hidden[:, None]  # (G, n, h)
        weights = inverse @ known
        spread = _block(covariance, self.hidden, self.is_hidden)
        spread = torch.baddbmm(spread, known.transpose(1, 2), weights, alpha=-1)
        filled = self._fill(window, self.pack(window) @ weights)
        return filled, self._sum_spread(covariance, spread)

    def precondition(self, inverses):
        """Return what solves timepoints one by one."""
        (inverse,) = inverses
        return lambda values: values @ inverse

    def mix(self, mixing):
        """Return what takes visible values to components (T, P), and what takes them back."""
        rows = mixing[self.parcels] * self.is_visible[:, :, None]  # (G, n, P)
        columns = rows.transpose(1, 2)
        timepoints, is_used = self.timepoints, self.is_used[:, :, None]
        nothing = mixing.new_zeros(self.shown.shape)

        def unmix(values):
            components = (values @ rows).flatten(0, 1)
            return nothing.index_add(0, timepoints.flatten(), components)

        return unmix, lambda components: components[timepoints] @ columns * is_used


class _MostVisible(Patterns):
    """Patterns of which fewer parcels are hidden than visible: windows (T, P) stay whole."""

    def pack(self, window):
        """Return a window with zeros where nothing is visible."""
        return window * self.shown

    def unpack(self, values):
        """Return a window as it is."""
        return values

    def invert(self, covariance, ridge):
        """Invert the covariance of all parcels plus a ridge, and of that its hidden part."""
        everything = torch.arange(len(covariance), device=covariance.device)[None]
        inverse = _invert(covariance, everything, everything.new_ones(everything.shape), ridge)[0]
        return inverse, _invert(inverse, self.hidden, self.is_hidden, 0.0), ridge

    def complete(self, covariance, inverses, window):
        """Fill in hidden parcels from the visible ones; return their summed covariance, too."""
        inverse, left, ridge = inverses
        predicted = -self._hidden(window @ inverse) @ left
        spread = left - torch.diag_embed(ridge * self.is_hidden + (1 - self.is_hidden))
        return self._fill(window, predicted), self._sum_spread(covariance, spread)

    def precondition(self, inverses):
        """Return what solves timepoints one by one."""
        inverse, left, _ = inverses
        excess = left @ (inverse[self.hidden] * self.is_hidden[:, :, None])  # (G, h, P)
        timepoints = self.timepoints.flatten()

        def solve(values):
            solved = values @ inverse
            hidden = (self._hidden(solved) @ excess).flatten(0, 1)
            return solved.index_add_(0, timepoints, hidden, alpha=-1).mul_(self.shown)

        return solve

    def mix(self, mixing):
        """Return what takes visible values to components (T, P), and what takes them back."""
        return lambda values: values @ mixing, lambda fields: fields @ mixing.T * self.shown

    def _hidden(self, window):
        """Return the hidden values (G, m, h) of a window (T, P)."""
        return window[self.timepoints[:, :, None], self.hidden[:, None]] * self.is_used[:, :, None]


def _block(matrix, chosen, is_chosen):
    """Return blocks (G, n, n) of a matrix (P, P), zero where the choice was filled up."""
    block = matrix[chosen[:, :, None], chosen[:, None]]
    return block * is_chosen[:, :, None] * is_chosen[:, None]


def _invert(matrix, chosen, is_chosen, ridge):
    """Invert blocks (G, n, n) of a matrix (P, P) plus a ridge."""
    diagonal = ridge * is_chosen + (1 - is_chosen)
    block = _block(matrix, chosen, is_chosen) + torch.diag_embed(diagonal)
    lower, failed = torch.linalg.cholesky_ex(block)
    # Not a number rather than an error of torch: the loss then says that training diverged.
    lower = torch.where(failed[:, None, None] > 0, torch.nan, lower)
    return torch.cholesky_inverse(lower)


def _true_first(marks):
    """Return where marks (G, N) are true, filled up to the longest row, and what is no filling."""
    length = int(marks.sum(1).max()) if len(marks) else 0
    places = marks.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :length]
    return places, marks.gather(1, places).float()
