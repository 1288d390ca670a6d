"""Invented people for the sandbox: the same id always gets the same name. Pure."""

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


def invent(person_id: str, family_id: str) -> Person | None:
    """Return who stands behind the id of a child or a guardian; None for other ids."""
    if not person_id.startswith(("child-", "guard-", "guardian-")):
        return None
    own = sha256(person_id.encode()).digest()
    family = sha256(family_id.encode()).digest()
    woman = own[0] % 2
    given_names = _WOMEN if woman else _MEN
    return Person(
        family_name=_FAMILY_NAMES[family[1] % len(_FAMILY_NAMES)][woman],
        given_name=given_names[own[2] % len(given_names)],
        patronymic=_PATRONYMICS[own[3] % len(_PATRONYMICS)][woman],
        email=f"{person_id}@example.invalid",
    )
