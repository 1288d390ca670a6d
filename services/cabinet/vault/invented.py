"""Invented people for the sandbox: the same id always gets the same name. Pure.

Children of a family have names of their own as long as the numbers of their ids are not 60 apart.
"""

import re
from hashlib import sha256

from services.cabinet.vault.person import Person

_FAMILY_NAMES = (
    ("Соколов", "Соколова"), ("Орлов", "Орлова"), ("Журавлёв", "Журавлёва"),
    ("Синицын", "Синицына"), ("Воробьёв", "Воробьёва"), ("Снегирёв", "Снегирёва"),
    ("Лебедев", "Лебедева"), ("Голубев", "Голубева"), ("Зимин", "Зимина"),
    ("Вёснин", "Вёснина"), ("Летов", "Летова"), ("Кедров", "Кедрова"),
    ("Берёзкин", "Берёзкина"), ("Рябинин", "Рябинина"), ("Ольхин", "Ольхина"),
    ("Багульников", "Багульникова"), ("Байкалов", "Байкалова"), ("Ангарин", "Ангарина"),
)  # fmt: skip
_MEN = (
    "Артём", "Максим", "Лев", "Марк", "Матвей", "Тимофей", "Егор", "Роман", "Глеб", "Саян",
    "Илья", "Даниил", "Кирилл", "Мирон", "Степан", "Фёдор", "Арсений", "Захар", "Никита", "Юрий",
    "Платон", "Савелий", "Богдан", "Денис", "Олег", "Павел", "Пётр", "Руслан", "Семён", "Тихон",
)  # fmt: skip
_WOMEN = (
    "Мария", "Анна", "Вера", "Алиса", "Дарья", "Полина", "Ника", "Ульяна", "Таисия", "Яна",
    "Ева", "Варвара", "Кира", "Милана", "Софья", "Арина", "Злата", "Лада", "Нина", "Ольга",
    "Василиса", "Есения", "Зоя", "Инна", "Лилия", "Майя", "Рената", "Серафима", "Элина", "Юлия",
)  # fmt: skip
_PATRONYMICS = (
    ("Андреевич", "Андреевна"), ("Павлович", "Павловна"), ("Ильич", "Ильинична"),
    ("Сергеевич", "Сергеевна"), ("Олегович", "Олеговна"), ("Юрьевич", "Юрьевна"),
)  # fmt: skip


_NAMES = tuple(name for pair in zip(_MEN, _WOMEN, strict=True) for name in pair)
"""A man's name and a woman's in turn."""
_NUMBER = re.compile(r"[0-9]{1,18}\Z")


def invent(person_id: str, family_id: str) -> Person | None:
    """Return who stands behind the id of a child or a guardian; None for other ids."""
    if not person_id.startswith(("child-", "guard-", "guardian-")):
        return None
    own = sha256(person_id.encode()).digest()
    family = sha256(family_id.encode()).digest()
    # Of a family one counts on from the other: no two of them are called alike.
    name = (family[2] + _number(person_id, own)) % len(_NAMES)
    woman = name % 2
    father = own if person_id == family_id else family
    return Person(
        family_name=_FAMILY_NAMES[family[1] % len(_FAMILY_NAMES)][woman],
        given_name=_NAMES[name],
        patronymic=_PATRONYMICS[father[3] % len(_PATRONYMICS)][woman],
        email=f"{person_id}@example.invalid",
    )


def _number(person_id: str, own: bytes) -> int:
    found = _NUMBER.search(person_id)
    return int(found[0]) if found is not None else own[2]
