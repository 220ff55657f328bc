"""What is said in speech made for training: the project's own language, and words of every sound.

Instructions and questions are what users say to the system. A codec trained on them alone would
know only their few syllables, so every second sentence strings common English words together.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

__all__ = ["sentences"]


def _words(text: str) -> list[str]:
    return text.split()


_COLOURS = _words("red green blue yellow purple orange cyan white black grey pink brown")
_SHAPES = _words("cube ball cylinder box disc block sphere cone ring cross star bar")
_WALLS = _words("left right top bottom upper lower near far")
_NUMBERS = _words("zero one two three four five six seven eight nine ten eleven twelve")

_TEMPLATES = (
    "push the {colour} {shape} to the {other} target",
    "move the {colour} {shape} against the {wall} wall",
    "bring the {colour} {shape} to the {other} zone",
    "slide the {colour} {shape} up to the {wall} wall",
    "put the {colour} {shape} next to the {other} {thing}",
    "take the {colour} {shape} over to the {wall} side",
    "get me the {colour} {shape} please",
    "how many {colour} {shape}s are on the table",
    "which {shape} is nearest to the {other} {thing}",
    "is the {colour} {shape} left of the {other} {thing}",
    "what colour is the {shape} at the {wall} wall",
    "what moved, the {colour} {shape} or the {other} {thing}",
    "will the {colour} {shape} reach the {other} target",
    "there are {number} {colour} {shape}s and {more} {other} ones",
    "stop", "wait, not the {colour} one", "yes, that {shape}", "no, the {other} {thing}",
    "go back and try the {colour} {shape} again", "number {number}, then number {more}",
)  # fmt: skip

_WORDS = _words("""
about above across afternoon again age air almost alone always animal answer apple arm ask autumn
baby back badge bag basket bath beach bear bed before bench better bird boat body book bottle
bread breath bridge bright brother bucket build button camera candle carry chair change cheese
child choice church circle city clean clock cloud coffee cold corner country cousin crowd cup dance
danger daughter day deep dinner doctor dog door dream drink drive dry early earth east edge egg
eight either elbow engine enough evening every exchange eye face fair family farm father feather
field finger fire fish five flag floor flower follow food foot forest forward fresh friend front
fruit future game garden gentle ghost girl glass gold good grass great guess hair half hammer hand
happy hard harvest hat health heart heavy help high hill history hold home honest horse hour house
huge hundred ice idea inch insect iron island jacket job join journey judge juice jump just
keep key kind king kitchen knee knife know ladder lake language large laugh leaf learn leather
length letter light lion listen little loud lunch machine many market measure meat middle milk
mirror money month moon morning mother mountain mouth music nation nature neck needle neighbour
nephew never new night noise north nothing number ocean often oil open orange other outside oven
owner page pair paper parent path peace pencil people phone picture piece pleasure plough pocket
point police poor power prize pull purple push question quick quiet radio rain reach ready reason
receive rhythm ribbon ring river road roof room rough round rubber sail salt sand school science
season second shadow shape sheep shelf ship shoe shoulder sing sister sky sleep slow small smooth
snow soap soft song sound soup south speak spoon spring square stair station steel stone storm
story straight strange street strong sugar summer sun sure swim table tail teacher television
thank then thick thin thing thirty thought thread through thumb thunder ticket tiger together
tomorrow tongue tooth touch towel town toy train treasure tree trouble true trust usual valley
vegetable view village visit voice volume walk warm wash watch water weather week weight west
wheel whisper white width wild window winter wish woman wonder wood word work world worth wrong
yard yellow yesterday young youth zebra
""")


def sentences(seed: int) -> Iterator[str]:
    """Sentences without end, the same for the same seed: instructions, questions, and word salad.

    Args:
        seed: of the choice.

    Yields:
        Lower-case English of 1 to 12 words.
    """
    rng = random.Random(seed)
    while True:
        template = rng.choice(_TEMPLATES)
        yield template.format(
            colour=rng.choice(_COLOURS),
            other=rng.choice(_COLOURS),
            shape=rng.choice(_SHAPES),
            thing=rng.choice(_SHAPES),
            wall=rng.choice(_WALLS),
            number=rng.choice(_NUMBERS),
            more=rng.choice(_NUMBERS),
        )
        yield " ".join(rng.sample(_WORDS, rng.randint(5, 11)))
