"""What weights are before they are learned."""

from torch import nn


def init_weights(autoencoder):
    """Draw the weights as the release does: Xavier uniform, biases zero, tokens std 0.02.

    Parameters
    ----------
    autoencoder : torch.nn.Module
        Network with a ``cls_token``, and a ``decoder`` with a ``mask_token``.
    """
    for name, module in autoencoder.named_modules():
        if isinstance(module, nn.Linear):
            # Queries, keys and values share one layer and are drawn as three.
            parts = module.weight.chunk(3) if name.endswith("qkv") else [module.weight]
            for part in parts:
                nn.init.xavier_uniform_(part)
            nn.init.zeros_(module.bias)
    nn.init.normal_(autoencoder.cls_token, std=0.02)
    nn.init.normal_(autoencoder.decoder.mask_token, std=0.02)
