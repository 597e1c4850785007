"""The closed form as tensors: conditional means that gradients can flow through.

The same mathematics as :mod:`sklearn_brainlm.conditioning`, parcel-major, in the form that lets a
network learn from the error of a reconstruction.
"""

import torch
from torch import nn

NAMES = ("covariance", "whitening", "colouring", "autocorrelation", "cross_correlation")


class Statistics(nn.Module):
    """Statistics of a group of recordings, as buffers.

    Parameters
    ----------
    covariance, whitening, colouring : arrays of shape (P, P)
        Covariance of the parcels, and the ways to its components and back.
    autocorrelation : array of shape (n_lags + 1, P)
        Tapered autocorrelation of each component.
    cross_correlation : array of shape (n_cross_lags + 1, K, K)
        Tapered cross-correlations of the first components, the diagonal zero.

    Examples
    --------
    >>> identity = torch.eye(2)
    >>> statistics = Statistics(
    ...     identity, identity, identity, torch.ones(1, 2), torch.zeros(1, 2, 2)
    ... )
    >>> spectrum, cross_spectrum = statistics.spectra(8)
    >>> spectrum.shape, cross_spectrum.shape
    (torch.Size([2, 5]), torch.Size([5, 2, 2]))
    """

    def __init__(self, covariance, whitening, colouring, autocorrelation, cross_correlation):
        super().__init__()
        arrays = (covariance, whitening, colouring, autocorrelation, cross_correlation)
        for name, array in zip(NAMES, arrays, strict=True):
            array = torch.as_tensor(array, dtype=torch.float32)
            # They belong to the atlas and the cohort, and are kept by whoever fitted them.
            self.register_buffer(name, array, persistent=False)

    def n_fft(self, n_timepoints):
        """Return an even length on which windows do not wrap around.

        Parameters
        ----------
        n_timepoints : int
            Timepoints of a window.

        Returns
        -------
        n_fft : int
            A multiple of 16, long enough for the longest lag.
        """
        longest = max(len(self.autocorrelation), len(self.cross_correlation)) - 1
        return -(-(max(n_timepoints, longest) + longest + 1) // 16) * 16

    def spectra(self, n_fft):
        """Return the power spectra and the cross-spectra of the components.

        Parameters
        ----------
        n_fft : int
            Length of the transform.

        Returns
        -------
        spectrum : tensor of shape (P, n_fft // 2 + 1)
            Positive.
        cross_spectrum : complex tensor of shape (n_fft // 2 + 1, K, K)
            Hermitian at each frequency.
        """
        auto, cross = self.autocorrelation, self.cross_correlation
        spectrum = torch.fft.rfft(_wrap(auto, auto[1:].flip(0), n_fft), dim=0).real.T
        backwards = cross[1:].flip(0).transpose(1, 2)
        cross_spectrum = torch.fft.rfft(_wrap(cross, backwards, n_fft), dim=0)
        return spectrum.clamp_min(1e-3).contiguous(), cross_spectrum


def complete_columns(covariance, signals, visible, ridge):
    """Fill hidden parcels from the visible ones of the same patch column.

    Parameters
    ----------
    covariance : tensor of shape (P, P)
        Covariance of the parcels.
    signals : tensor of shape (C, L, P)
        A window by patch columns; hidden values are not looked at.
    visible : tensor of shape (C, P)
        One where a parcel is visible, else zero.
    ridge : tensor of shape ()
        Added to the variances of visible parcels.

    Returns
    -------
    filled : tensor of shape (C, L, P)
        Conditional mean in the place of hidden values.
    spread : tensor of shape (C, P, P)
        Conditional covariance of the hidden values, zero for the visible.
    """
    lower = _factor(covariance, visible, ridge)
    known = covariance * visible[:, None]  # (C, P, visible parcels)
    half = torch.linalg.solve_triangular(lower, known.transpose(1, 2), upper=False)
    seen = (signals * visible[:, None]).transpose(1, 2)  # (C, P, L)
    seen = torch.linalg.solve_triangular(lower, seen, upper=False)
    predicted = seen.transpose(1, 2) @ half
    hidden = 1 - visible
    spread = (covariance - half.transpose(1, 2) @ half) * hidden[:, :, None] * hidden[:, None]
    return torch.where(visible[:, None] > 0, signals, predicted), spread


def second_moment(filled, spread, n_recorded):
    """Average the expected second moments of a completed window.

    Parameters
    ----------
    filled : tensor of shape (C, L, P)
        Completed window, zero at timepoints that were not recorded.
    spread : tensor of shape (C, P, P)
        Covariance of what was filled in.
    n_recorded : tensor of shape (C,)
        Recorded timepoints of each column.

    Returns
    -------
    moment : tensor of shape (P, P)
        ``E[x x.T | visible]``, averaged over timepoints.
    """
    flat = filled.flatten(0, 1)
    return (flat.T @ flat + torch.einsum("c,cij->ij", n_recorded, spread)) / n_recorded.sum()


def complete_window(mixing, spectrum, cross_spectrum, ridge, signals, visible, shown, n_iterations):
    """Fill hidden values from the visible ones of the whole window.

    Parameters
    ----------
    mixing : tensor of shape (P, P)
        How components mix into parcels.
    spectrum : tensor of shape (P, F)
        Power spectra of the components.
    cross_spectrum : complex tensor of shape (F, K, K)
        Cross-spectra of the first components.
    ridge : tensor of shape ()
        Variance of noise on the visible values.
    signals : tensor of shape (P, T)
        The window; hidden values are not looked at.
    visible : tensor of shape (C, P)
        One where a parcel is visible in a patch column.
    shown : tensor of shape (P, T)
        One at every value that may be used.
    n_iterations : int
        Steps of conjugate gradients.

    Returns
    -------
    filled : tensor of shape (P, T)
        Conditional mean in the place of hidden values.
    """
    with torch.no_grad():
        # Inverted once: dozens of products follow, each cheaper than two triangular solves.
        inverse = torch.cholesky_inverse(_factor(mixing @ mixing.T, visible, ridge))
    predicted, _ = _Conditional.apply(
        mixing, spectrum, cross_spectrum, ridge, signals, shown, inverse, n_iterations
    )
    return torch.where(shown > 0, signals, predicted)


class _Conditional(torch.autograd.Function):
    """Conditional mean by conjugate gradients, with the gradient of the exact solution.

    With ``weights = (K + ridge)^-1 x`` on the visible values, the mean is ``K weights``. A change
    of K changes it by ``dK weights - K (K + ridge)^-1 dK weights``, so that one more solve, for the
    incoming gradient, gives the outgoing one: no iteration has to be kept in memory.
    """

    @staticmethod
    def forward(mixing, spectrum, cross_spectrum, ridge, signals, shown, inverse, n_iterations):
        """Solve for the weights of the visible values and apply them."""
        weights = _solve(
            mixing, spectrum, cross_spectrum, ridge, shown * signals, shown, inverse, n_iterations
        )
        return _correlate(mixing, spectrum, cross_spectrum, weights), weights

    @staticmethod
    def setup_context(ctx, inputs, output):
        """Keep what the backward pass needs."""
        mixing, spectrum, cross_spectrum, ridge, _, shown, inverse, ctx.n_iterations = inputs
        _, weights = output
        ctx.mark_non_differentiable(weights)
        ctx.save_for_backward(mixing, spectrum, cross_spectrum, ridge, shown, inverse, weights)

    @staticmethod
    def backward(ctx, gradient, _):
        """Differentiate the exact solution."""
        mixing, spectrum, cross_spectrum, ridge, shown, inverse, weights = ctx.saved_tensors
        gradient = gradient * (1 - shown)
        adjoint = shown * _correlate(mixing, spectrum, cross_spectrum, gradient)
        adjoint = _solve(
            mixing, spectrum, cross_spectrum, ridge, adjoint, shown, inverse, ctx.n_iterations
        )
        with torch.enable_grad():
            inputs = [x.detach().requires_grad_() for x in (mixing, spectrum, cross_spectrum)]
            image = _correlate(*inputs, weights)
            surrogate = ((gradient - adjoint) * image).sum()
            gradients = torch.autograd.grad(surrogate, inputs)
        return *gradients, -(adjoint * weights).sum(), None, None, None, None


def _correlate(mixing, spectrum, cross_spectrum, field):
    """Multiply a field (P, T) by the covariance of all parcels at all timepoints."""
    n_timepoints = field.shape[1]
    n_fft = 2 * (spectrum.shape[1] - 1)
    components = torch.fft.rfft(mixing.T @ field, n_fft, dim=1)
    leading = components[: cross_spectrum.shape[1]]
    crossed = (cross_spectrum @ leading.T[:, :, None])[:, :, 0].T
    filtered = components * spectrum
    filtered = torch.cat([filtered[: len(leading)] + crossed, filtered[len(leading) :]])
    return mixing @ torch.fft.irfft(filtered, n_fft, dim=1)[:, :n_timepoints]


def _solve(mixing, spectrum, cross_spectrum, ridge, field, shown, inverse, n_iterations):
    """Solve ``(K + ridge) weights = field`` on the visible values, by conjugate gradients."""
    n_columns = len(inverse)

    def precondition(residual):
        """Solve each patch column as if there were no memory."""
        columns = residual.unflatten(1, (n_columns, -1)).transpose(0, 1)
        return (inverse @ columns).transpose(0, 1).flatten(1) * shown

    residual = field
    weights = torch.zeros_like(field)
    direction = solved = precondition(residual)
    power = (residual * solved).sum()
    for _ in range(n_iterations):
        image = shown * _correlate(mixing, spectrum, cross_spectrum, direction)
        image = image + ridge * direction
        # The floor keeps a field of zeros, and a solution to the last digit, from 0 / 0.
        step = power / (direction * image).sum().clamp_min(1e-20)
        weights = weights + step * direction
        residual = residual - step * image
        solved = precondition(residual)
        power, before = (residual * solved).sum(), power
        direction = solved + power / before.clamp_min(1e-20) * direction
    return weights


def _factor(covariance, visible, ridge):
    """Factor the covariance of the visible parcels plus a ridge; hidden ones get a one."""
    diagonal = ridge * visible + (1 - visible)
    kept = covariance * visible[:, :, None] * visible[:, None]
    lower, failed = torch.linalg.cholesky_ex(kept + torch.diag_embed(diagonal))
    # Not a number rather than an error of torch: the loss then says that training diverged.
    return torch.where(failed[:, None, None] > 0, torch.nan, lower)


def _wrap(forwards, backwards, n_fft):
    """Lay lags out on a circle: 0, 1, ..., zeros, ..., -2, -1."""
    gap = forwards.new_zeros(n_fft - len(forwards) - len(backwards), *forwards.shape[1:])
    return torch.cat([forwards, gap, backwards])
