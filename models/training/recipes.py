"""How each network is trained: everything that `python -m models.training NAME` needs to make it again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Phase:
    """A stretch of training at one size. size: side of the square samples, pixels."""

    size: int
    batch: int
    steps: int


@dataclass(frozen=True)
class Recipe:
    """One network.

    encoder, decoder: keys of network.ENCODERS and network.DECODERS.
    start: "imagenet" or "random" encoder weights, or the name of a recipe whose trained encoder this one goes on
    from. frozen: leave the encoder as it starts.
    sets: how often each data set is drawn, as a share of the samples; "surface" and "rendered" are drawn by programs
    while training starts, "things" was composed by things.py, the others are photos.
    lr: peak learning rate of the decoder; the encoder gets `encoder_lr` times that.
    long_side: working scale in pixels. label, description, terms: for the card; the label stands in GIMP's dialog.
    matting: name of the card of the network that refines its maps, used where that card is.
    """

    name: str
    sets: dict[str, float]
    phases: tuple[Phase, ...]
    encoder: str = "lite2"
    decoder: str = "unet"
    start: str = "imagenet"
    frozen: bool = False
    lr: float = 1e-3
    encoder_lr: float = 0.4
    seed: int = 7
    long_side: int = 320
    label: str = ""
    description: str = ""
    terms: str = ""
    default: bool = False
    matting: str | None = None

    @property
    def steps(self) -> int:
        return sum(phase.steps for phase in self.phases)


# Figaro-1k has the most varied hair and the finest outlines. LFW's superpixel outlines are blocky and take
# beards for hair, so they get less say. Sets without hair teach what hair is not.
EVERYTHING = {
    "figaro1k": 0.306,
    "celebamask": 0.111,
    "celebahq": 0.083,
    "ccp": 0.157,
    "lfw": 0.065,
    "nohair": 0.111,
    "surface": 0.056,
    "things": 0.111,
}

# The same with more portraits.
MORE_PORTRAITS = {
    "figaro1k": 0.31,
    "celebamask": 0.15,
    "celebahq": 0.12,
    "ccp": 0.14,
    "lfw": 0.05,
    "nohair": 0.09,
    "surface": 0.04,
    "things": 0.10,
}

# What was published under a free licence, and what programs drew.
FREE_ONLY = {"ccp": 0.45, "rendered": 0.33, "surface": 0.07, "things": 0.15}

RESEARCH_TERMS = (
    "Trained in part on CelebAMask-HQ and CelebA-HQ (non-commercial research purposes only), on Figaro-1k, LFW and "
    "photos of ImageNet (published for research), and on pictures composed of Debian's tuxpaint-stamps and wallpaper "
    "packages (GPL-2 and later, CC-BY-SA). These weights are for personal, educational and research use; whoever wants to use "
    "them commercially should clear that with the publishers of those photographs first, or take the network "
    "hair-u-lite2-free. The code is GPL-3.0-or-later."
)
FREE_TERMS = (
    "Trained on Clothing Co-Parsing (published under Apache-2.0; rights in its photographs are not discussed there), "
    "on pictures drawn by our own program, and, for what is no hair, on pictures composed of Debian's tuxpaint-stamps "
    "and wallpaper packages (GPL-2 and later, CC-BY-SA), starting from EfficientNet-Lite weights that were published under "
    "Apache-2.0 and trained on ImageNet. No data set whose publisher restricts its use to research was used for "
    "hair. The weights may be used commercially as far as we can tell; the code is GPL-3.0-or-later."
)

BEST = Recipe(
    name="hair-u-lite2",
    label="Most accurate (research data)",
    description="whole-image hair segmentation",
    sets=EVERYTHING,
    phases=(Phase(192, 8, 4000), Phase(256, 8, 4000), Phase(352, 8, 2000)),
    terms=RESEARCH_TERMS,
    default=True,
    matting="hair-matting",
)

# Better on portraits, worse on full-body photos; it does not ship. See MODELS.md.
PYRAMID = Recipe(
    name="hair-fpn-lite2",
    label="Feature pyramid (research data)",
    description="whole-image hair segmentation",
    sets=MORE_PORTRAITS,
    phases=(Phase(256, 8, 8000), Phase(352, 8, 2000)),
    decoder="fpn",
    start="hair-u-lite2",
    terms=RESEARCH_TERMS,
)

FREE = Recipe(
    name="hair-u-lite2-free",
    label="Freely licensed data only",
    description="whole-image hair segmentation from freely licensed and rendered pictures only",
    sets=FREE_ONLY,
    phases=(Phase(192, 8, 2000), Phase(256, 8, 800)),
    long_side=192,  # CCP's heads are small; large hair is found better when it is made small as well
    terms=FREE_TERMS,
)

RECIPES = {recipe.name: recipe for recipe in (BEST, PYRAMID, FREE)}
