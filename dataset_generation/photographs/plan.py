"""The plan for any annotated photographs: pictures dealt to splits, questions picked to exact shares."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

from clarifyvlm.errors import UserError
from folder.pictures import check_readable, distinct
from folder.shares import Slot, apportion
from photographs.question import Candidate, Job

DEALS = 300  # of pictures to splits, until every share can be met
FEWEST_PICTURES = 2000  # that are looked at, where there are as many; then four times as many, until all shares are met
SAME_PICTURE = 0.25  # a picture that already has a question is the likelier to get another: its strategies differ
SAME_SLOT = 2  # ... and one that has a question of the slot is so much less likely to get one more of it
RICH = 32  # a picture that could give one more strategy is so much likelier to be asked about: it tells less


def plan_jobs(
    options,
    shares: dict[Slot, float],
    kinds: dict[str, float],
    pictures: list[str],
    facts_of: Callable[[list[str]], dict[str, dict]],
    candidates: Callable[[dict, random.Random], list[Candidate]],
    never: Callable[[Slot], str],
    origin: Callable[[str], dict[str, str]],
) -> dict[str, list[Job]]:
    """split -> jobs: pictures are dealt to the splits, then questions are picked to the shares, exactly.

    Of many pictures only as many are looked at as it takes: `facts_of` gives the facts of some, `candidates` what may
    be asked of one, `never` why no picture can give a slot, `origin` what is known of a picture's license and
    source_url. UserError where a share cannot be met.
    """
    if options.num_test_ood:
        raise UserError("num_test_ood: photographs have no unseen pairs of shape and color; leave it at 0")
    for name in ("num_replay", "num_unambiguous"):
        if getattr(options, name):
            raise UserError(f"{name} is for generated scenes; leave it at 0")
    sizes = {s: getattr(options, f"num_{s}") for s in ("train", "validation", "test")}
    if options.num_examples is not None:
        sizes = dict(zip(sizes, apportion(options.num_examples, list(sizes.values())), strict=True))
    wanted = {
        split: dict(zip(shares, apportion(n, list(shares.values())), strict=True)) for split, n in sizes.items() if n
    }
    rng = random.Random(f"{options.seed}:plan")
    order = sorted(pictures)
    rng.shuffle(order)
    order = distinct(order, Path(options.image_dir))
    facts, able, count = {}, {}, max(FEWEST_PICTURES, sum(sizes.values()))
    while True:
        new = facts_of(order[len(facts) : count])
        facts |= new
        for name, f in new.items():
            able[name] = [
                c
                for c in candidates(f, random.Random(f"{options.seed}:{name}"))
                if kinds.get(c[0].kind) and c[1] in shares
            ]
        dealt, lack = _deal(wanted, sizes, list(facts), able, rng)
        if lack is None:
            break
        if count >= len(order):
            raise _too_few(*lack, wanted, kinds, able, never)
        count *= 4
    jobs = {}
    for split, names in dealt.items():
        picked = _pick(wanted[split], names, able, kinds, options, rng)
        jobs[split] = [Job(n, facts[n], tuple(picked[n]), origin(n)) for n in sorted(names) if picked[n]]
    check_readable(Path(options.image_dir) / job.file_name for split in jobs.values() for job in split)
    return jobs


def _deal(wanted: dict, sizes: dict, names: list[str], able: dict, rng) -> tuple[dict, tuple | None]:
    """(split -> pictures, None), or what was lacking in the last deal: (split, slot, number found, pictures)."""
    # A split needs pictures in proportion to its examples; the small ones at least a few.
    portions = [max(sizes[split], sum(sizes.values()) / 8) for split in wanted]
    counts = {name: Counter(slot for _, slot in able[name]) for name in names}
    total = sum(counts.values(), Counter())
    for slot in next(iter(wanted.values()), ()):
        needed = sum(slots[slot] for slots in wanted.values())
        if total[slot] < needed:
            return {}, ("all splits", slot, total[slot], needed, names)
    lack = None
    for _ in range(DEALS):
        rng.shuffle(names)
        dealt, start = {}, 0
        for split, n in zip(wanted, apportion(len(names), portions), strict=True):
            dealt[split] = names[start : start + n]
            start += n
        lack = _lacking(wanted, dealt, counts)
        if lack is None:
            return dealt, None
    return dealt, lack


def _lacking(wanted: dict, dealt: dict, counts: dict) -> tuple | None:
    """The first split and slot of which there is not enough; None where all shares can be met."""
    for split, slots in wanted.items():
        found = Counter()
        for name in dealt[split]:
            found.update(counts[name])
        for slot, n in slots.items():
            if found[slot] < n:
                return split, slot, found[slot], n, dealt[split]
    return None


def _too_few(split, slot: Slot, found: int, needed: int, names, wanted, kinds, able, never) -> UserError:
    by_class = Counter(q.name for name in names for q, s in able[name] if s == slot)
    from_ = ", ".join(f"{name} {n}" for name, n in by_class.most_common(10)) or "no class"
    tried = "" if split == "all splits" else f" ({DEALS} deals of the pictures to the splits were tried)"
    return UserError(
        f"{split}: share {slot.type}:{slot.strategy} asks for {needed} examples, and the {len(names)} pictures of "
        f"{'this split' if tried else 'all splits'} give {found}{never(slot)}{tried}.\n"
        f"They come from: {from_}; kinds asked for: {', '.join(k for k, w in kinds.items() if w)}.\n"
        "Lower that share, or num_examples, or give more pictures."
    )


def _pick(wanted: dict[Slot, int], names: list[str], able: dict, kinds, options, rng) -> dict[str, list[Candidate]]:
    """Picture -> its questions, of one split: as many of each slot as wanted, spread over pictures, and with words that
    say as little as can be about the strategy."""
    found = {slot: [(name, q) for name in names for q, s in able[name] if s == slot] for slot in wanted}
    rich = {name: RICH ** len({slot.strategy for _, slot in able[name]}) for name in names}
    weights = _weights(found, rich, kinds, options.supercategories)
    picked = defaultdict(list)
    # The slots with the least choice first: the others follow them to their pictures.
    for slot in sorted(wanted, key=lambda s: (-wanted[s] / max(1, len(found[s])), s.type, s.strategy)):
        keys = []
        for i, (name, q) in enumerate(found[slot]):
            # The smallest are taken (Efraimidis and Spirakis, 2006).
            weight = weights[slot, q.form, q.name] * rich[name]
            keys.append((rng.expovariate(1) / weight * (SAME_PICTURE if picked[name] else 1), i))
        in_picture, ranked = Counter(), []
        for key, i in sorted(keys):
            name = found[slot][i][0]
            ranked.append((key * SAME_SLOT ** in_picture[name], i))
            in_picture[name] += 1
        for _, i in sorted(ranked)[: wanted[slot]]:
            name, q = found[slot][i]
            picked[name].append((q, slot))
    return picked


def _weights(found: dict[Slot, list], rich: dict[str, int], kinds: dict, super_share: float) -> dict[tuple, float]:
    """(slot, form, name) -> weight of such a question among those of its slot.

    Kinds by the weights of the config. Within a form, a class is as likely for every strategy as for the strategy that
    has the least of it, so that the words do not say which strategy is right; classes that some strategy has not at all
    come last.
    """
    counts: dict[Slot, Counter] = {slot: Counter() for slot in found}
    for slot, rows in found.items():
        for name, q in rows:
            counts[slot][q.form, q.name] += rich[name]
    kind_of = {q.form: q.kind for rows in found.values() for _, q in rows}
    supers = {q.name for rows in found.values() for _, q in rows if q.members}
    forms = Counter(kind_of.values())
    by_strategy: dict[str, Counter] = defaultdict(Counter)
    for slot, counter in counts.items():
        by_strategy[slot.strategy] += counter
    target: Counter = Counter()
    for form in kind_of:
        able = []
        for counter in by_strategy.values():
            of_form = {k: n for k, n in counter.items() if k[0] == form}
            if of_form:
                able.append((of_form, sum(of_form.values())))
        for key in {k for of_form, _ in able for k in of_form}:
            target[key] = min(of_form.get(key, 0) / total for of_form, total in able)
    weights = {}
    for slot, counter in counts.items():
        values = {key: max(target[key], 1e-4 / len(counter)) for key in counter}
        totals: Counter = Counter()
        for (form, name), value in values.items():
            totals[form, name in supers] += value
        for (form, name), value in values.items():
            of_form = kinds[kind_of[form]] / forms[kind_of[form]]
            share = super_share if name in supers else 1 - super_share
            weight = of_form * share * value / totals[form, name in supers] / counter[form, name]
            weights[slot, form, name] = max(weight, 1e-12)
    return weights
