"""When something happens: adverbs of time for each tense, in both languages."""

from __future__ import annotations

import random

from attendant_demo.translator.numbers import DAYS, MONTHS, Pair, before_any, hour

PAST = (
    ("yesterday", "hier"),
    ("yesterday evening", "hier soir"),
    ("last night", "la nuit dernière"),
    ("last week", "la semaine dernière"),
    ("last month", "le_ mois dernier"),
    ("last year", "l'année dernière"),
    ("this morning", "ce_d matin"),
)
FUTURE = (
    ("today", "aujourd'hui"),
    ("tonight", "ce_d soir"),
    ("this evening", "ce_d soir"),
    ("this afternoon", "cet après-midi"),
    ("tomorrow", "demain"),
    ("tomorrow morning", "demain matin"),
    ("tomorrow evening", "demain soir"),
    ("next week", "la semaine prochaine"),
    ("next month", "le_ mois prochain"),
    ("next year", "l'année prochaine"),
    ("this weekend", "ce_d week-end"),
)
HABIT = (
    ("every day", "tous les_ jours"),
    ("every morning", "tous les_ matins"),
    ("every evening", "tous les_ soirs"),
    ("every week", "toutes les_ semaines"),
    ("in the morning", "le_ matin"),
    ("in the evening", "le_ soir"),
    ("at the weekend", "le_ week-end"),
)
NOW = (("now", "maintenant"), ("today", "aujourd'hui"), ("at the moment", "en ce_d moment"))
SEASONS = (("summer", "en été"), ("winter", "en hiver"), ("spring", "au printemps"), ("autumn", "en automne"))
BY = (
    ("train", "en train"),
    ("bus", "en bus"),
    ("car", "en voiture"),
    ("plane", "en avion"),
    ("boat", "en bateau"),
    ("taxi", "en taxi"),
    ("bike", "à vélo"),
)


class Times:
    """Draws adverbs of time."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def fitting(self, tense: str) -> Pair:
        """One that goes with a tense."""
        rng = self._rng
        if tense == "past":
            if rng.random() < 0.25:
                count, unit = (
                    before_any(rng, 2, 12),
                    rng.choice((("days", "jours"), ("weeks", "semaines"), ("years", "ans"))),
                )
                return f"{count[0]} {unit[0]} ago", f"il y a {count[1]} {unit[1]}"
            return self._dated(PAST)
        if tense == "simple":
            if rng.random() < 0.3:
                day, jour = rng.choice(DAYS)
                return f"on {day}s", f"le_ {jour}"
            return rng.choice(HABIT)
        return rng.choice(NOW) if tense == "progressive" else self._dated(FUTURE)

    def ahead(self) -> Pair:
        """A time to come."""
        return self._dated(FUTURE[4:])

    def _dated(self, times: tuple[Pair, ...]) -> Pair:
        rng = self._rng
        kind = rng.random()
        if kind < 0.15:
            day, jour = rng.choice(DAYS)
            return f"on {day}", jour
        if kind < 0.25:
            here, there = hour(rng)
            return f"at {here}", f"à {there}"
        if kind < 0.32:
            month, mois = rng.choice(MONTHS)
            return f"in {month}", f"en {mois}"
        return rng.choice(times)
