"""What ablation.py trains and what ablation_tables.py tells of it: models, users, costs, metrics."""

COSTS = (0.0, 0.2, 0.4, 0.6, 0.8)
PRESET = "tiny"
# model -> flags of tuning_grpo/train.py beside the config (of FLAWED: of flawed_judge.py, too)
MODELS: dict[str, list] = {
    "SFT": [],
    "GRPO, one turn": ["--turns", 1],
    "GRPO, dialogues": [],
    "... told what a question costs": ["--ask_costs", *COSTS],
    "... without overconfidence penalty": ["--overconfidence_weight", 0],
    "... without grounding penalty": ["--grounding_weight", 0],
    "... groups of 8": ["--num_generations", 8],
    "... groups of 16": ["--num_generations", 16],
}
FLAWED = {
    **{f"... judge wrong in {share:.0%}": ["--wrong", share] for share in (0.05, 0.1, 0.2)},
    **{f"... judge in favor of long in {share:.0%}": ["--favor_long", share] for share in (0.05, 0.1, 0.2)},
}
MODELS |= FLAWED
TOLD = "... told what a question costs"
FIXED = {f"... one cost, {cost:g}": ["--ask_costs", cost] for cost in COSTS}
SFT_TOLD = "SFT, told what a question costs"  # what TOLD and FIXED start from
OTHERS = ("terse", "changes_mind", "unsure", "wrong", "off_topic")
UNTOLD = ("unsure", "off_topic")
METRICS = {
    "strategy": "strategy accuracy",
    "answered": "right in the end where asking is right, users who say what they mean",
    "asked_needlessly": "asked though there is one reading",
    "guessed": "asserts one reading after *I don't know* or *Nice picture*",
    "asked_again": "asks again after them",
    "believed": "asserts one reading after a description of none",
    "overconfident": "overconfident",
    "grounded": "grounded",
}


def costs_of(name: str) -> tuple[float, ...]:
    """The costs at which a model is tested."""
    return COSTS if name == TOLD else (FIXED[name][1],) if name in FIXED else ()


def start_of(name: str) -> str:
    """The SFT checkpoint that GRPO starts from."""
    return SFT_TOLD if name == TOLD or name in FIXED else "SFT"


def slug(name: str) -> str:
    """Its folder."""
    return "-".join("".join(c if c.isalnum() or c == "." else " " for c in name.strip(".")).split()).lower()
