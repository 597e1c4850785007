"""Model cards: what a person should know before using weights."""

from html import escape

__all__ = ["write_card"]

_UNKNOWN = "unknown: set by whoever publishes"


def write_card(config):
    """Write the model card of weights.

    Parameters
    ----------
    config : dict
        What their config.json says.

    Returns
    -------
    card : str
        Markdown.
    """
    name, fitted = escape(config["class"]), config["fitted"]
    contract = {
        # Hubs show Markdown as HTML, and these words may come from the weights of somebody else.
        key: escape(value) if isinstance(value, str) else value
        for key, value in fitted["contract_"]["contract"].items()
    }
    t_r = "unknown" if contract["t_r"] is None else f"{contract['t_r']} s"
    coords = "none" if contract["parcel_coords"] is None else "MNI millimetres, in the weights"
    atlas = "" if contract["atlas"] is None else f" of {contract['atlas']}"
    bound = ", ".join(map(escape, contract["atlas_bound"])) or "no part, other parcels can be given"
    last = (fitted["history_"] or [{}])[-1]
    losses = ", ".join(
        f"{key} {last[key]:.4g}" for key in ("train_loss", "valid_loss") if last.get(key)
    )
    versions = ", ".join(f"{key} {value}" for key, value in config["versions"].items())
    licence = contract["licence"]
    restricted = "" if licence is None else "\n\n**Do not redistribute.**"
    label = f'"{_UNKNOWN}"' if licence is None else "cc-by-nc-nd-4.0"
    return f"""---
license: {label}
library_name: sklearn_brainlm
---

# {name} weights

A masked autoencoder of brain activity recordings with {fitted["n_parameters_"]:,} parameters.

## What it expects

| | |
|---|---|
| parcels | {contract["n_parcels"]}{atlas} |
| parcel coordinates | {coords} |
| bound to these parcels | {bound} |
| repetition time | {t_r} |
| units | {contract["units"]} |
| scaling | {contract["scaler"]}, divided by {contract["divisor"]:g} |
| window | {contract["window_length"]} timepoints |
| patch | {contract["patch_length"]} timepoints x {contract["parcels_per_patch"]} parcels |

Recordings must be extracted and cleaned in the same way as those it was trained on.

## What it was trained on

{fitted["trained_on_"]["n_recordings"]} recordings with {fitted["trained_on_"]["n_timepoints"]:,} \
timepoints; {len(fitted["history_"])} epochs ({losses}). Who was recorded, and how, is for whoever
publishes these weights to say.

## Intended use

Research on brain activity recordings: embeddings for predictors that are validated on people the
weights have not seen, and reconstruction of masked activity. Not for diagnosis.

## Licence

{licence or _UNKNOWN}{restricted}

## How to load it

```python
from sklearn_brainlm import {name}

model = {name}.from_pretrained("path/to/this/folder")
embeddings = model.transform(recordings)
```

Written with {versions}.
"""
