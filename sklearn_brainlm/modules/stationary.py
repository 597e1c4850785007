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


def second_moment(filled, spread, n_recorded):
    """Average the expected second moments of a completed window.

    Parameters
    ----------
    filled : tensor of shape (T, P)
        Completed window, zero at timepoints that were not recorded.
    spread : tensor of shape (P, P)
        Covariance of what was filled in, summed over timepoints.
    n_recorded : tensor of shape ()
        Recorded timepoints.

    Returns
    -------
    moment : tensor of shape (P, P)
        ``E[x x.T | visible]``, averaged over timepoints.
    """
    return torch.addmm(spread, filled.T, filled) / n_recorded


def complete_window(
    mixing, spectrum, cross_spectrum, ridge, inverses, window, patterns, n_iterations
):
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
    inverses : tuple of tensors
        What ``patterns.invert`` makes of the covariance ``mixing @ mixing.T`` and the ridge.
    window : tensor of shape (T, P)
        The window; hidden values are not looked at.
    patterns : Patterns
        What is visible when.
    n_iterations : int
        Steps of conjugate gradients.

    Returns
    -------
    filled : tensor of shape (T, P)
        Conditional mean in the place of hidden values.
    """
    predicted, _ = _Conditional.apply(
        mixing, spectrum, cross_spectrum, ridge, window, patterns, inverses, n_iterations
    )
    return torch.where(patterns.shown > 0, window, predicted)


class _Conditional(torch.autograd.Function):
    """Conditional mean by conjugate gradients, with the gradient of the exact solution.

    With ``weights = (K + ridge)^-1 x`` on the visible values, the mean is ``K weights``. A change
    of K changes it by ``dK weights - K (K + ridge)^-1 dK weights``, so that one more solve, for the
    incoming gradient, gives the outgoing one: no iteration has to be kept in memory.
    """

    @staticmethod
    def forward(mixing, spectrum, cross_spectrum, ridge, window, patterns, inverses, n_iterations):
        """Solve for the weights of the visible values and apply them."""
        spectra = _by_frequency(spectrum, cross_spectrum)
        seen = patterns.pack(torch.where(patterns.shown > 0, window, 0))
        weights = _solve(mixing, spectra, ridge, seen, patterns, inverses, n_iterations)
        weights = patterns.unpack(weights)
        return _filter(weights @ mixing, *spectra) @ mixing.T, weights

    @staticmethod
    def setup_context(ctx, inputs, output):
        """Keep what the backward pass needs."""
        *tensors, _, ctx.patterns, ctx.inverses, ctx.n_iterations = inputs
        _, weights = output
        ctx.mark_non_differentiable(weights)
        ctx.save_for_backward(*tensors, weights)

    @staticmethod
    def backward(ctx, gradient, _):
        """Differentiate the exact solution."""
        mixing, spectrum, cross_spectrum, ridge, weights = ctx.saved_tensors
        patterns, spectra = ctx.patterns, _by_frequency(spectrum, cross_spectrum)
        gradient = gradient * (1 - patterns.shown)
        adjoint = patterns.pack(_filter(gradient @ mixing, *spectra) @ mixing.T)
        adjoint = _solve(mixing, spectra, ridge, adjoint, patterns, ctx.inverses, ctx.n_iterations)
        adjoint = patterns.unpack(adjoint)
        with torch.enable_grad():
            inputs = [x.detach().requires_grad_() for x in (mixing, spectrum, cross_spectrum)]
            mixing, *spectra = inputs
            image = _filter(weights @ mixing, *_by_frequency(*spectra)) @ mixing.T
            surrogate = ((gradient - adjoint) * image).sum()
            gradients = torch.autograd.grad(surrogate, inputs)
        return *gradients, -(adjoint * weights).sum(), None, None, None, None


def _by_frequency(spectrum, cross_spectrum):
    """Lay spectra out as the filter reads them: (F, P), and (F, K, K) with rows for columns."""
    spectrum = spectrum.T.to(cross_spectrum.dtype)  # once, not in every product
    return spectrum.contiguous(), cross_spectrum.transpose(1, 2).contiguous()


def _filter(components, spectrum, cross_spectrum):
    """Multiply components (T, P) by their covariance over time."""
    n_timepoints, n_fft = len(components), 2 * (len(spectrum) - 1)
    components = torch.fft.rfft(components, n_fft, dim=0)
    leading = components[:, : cross_spectrum.shape[1]]
    filtered = components * spectrum
    filtered[:, : leading.shape[1]] += (leading[:, None] @ cross_spectrum)[:, 0]
    return torch.fft.irfft(filtered, n_fft, dim=0)[:n_timepoints]


def _solve(mixing, spectra, ridge, field, patterns, inverses, n_iterations):
    """Solve ``(K + ridge) weights = field`` on the visible values, by conjugate gradients."""
    unmix, mix = patterns.mix(mixing)
    precondition = patterns.precondition(inverses)
    residual, weights = field.clone(), torch.zeros_like(field)
    direction = solved = precondition(residual)
    power = (residual * solved).sum()
    for _ in range(n_iterations):
        image = torch.addcmul(mix(_filter(unmix(direction), *spectra)), ridge, direction)
        # The floor keeps a field of zeros, and a solution to the last digit, from 0 / 0. Where
        # learned cross-spectra outgrow the spectra, a direction may curve down: it is not taken.
        curvature = (direction * image).sum()
        step = torch.where(curvature > 0, power / curvature.clamp_min(1e-20), 0.0)
        weights.addcmul_(step, direction)
        residual.addcmul_(step, image, value=-1)
        solved = precondition(residual)
        power, before = (residual * solved).sum(), power
        direction = torch.addcmul(solved, power / before.clamp_min(1e-20), direction)
    return weights


def _wrap(forwards, backwards, n_fft):
    """Lay lags out on a circle: 0, 1, ..., zeros, ..., -2, -1."""
    gap = forwards.new_zeros(n_fft - len(forwards) - len(backwards), *forwards.shape[1:])
    return torch.cat([forwards, gap, backwards])
