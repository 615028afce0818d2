"""Rows of a small shop. The same seed gives the same rows, so that a run can be repeated."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

Value = int | str | date | datetime | Decimal
Row = tuple[Value, ...]

CUSTOMERS = 6_000
PRODUCTS = 240
ORDERS = 12_500
LINES_MIN, LINES_MAX = 2, 4
FIRST_PLACED_ID = 1_000_000_000
"""Orders that the applications place are numbered from here; the ones loaded beforehand lie below."""

_FIRST_DAY = datetime(2025, 1, 1)  # noqa: DTZ001 - a column without a time zone


def _listed(names: str) -> tuple[str, ...]:
    return tuple(names.split(","))


_FIRST_NAMES = _listed(
    "Ada,Alma,Amir,Anton,Aoife,Astrid,Bao,Beatriz,Bruno,Camille,Carlos,Chiara,Daniel,Dilara,Elif,Elias,Emma,Esra,Farid,"
    "Fatima,Felix,Freya,Giulia,Grace,Hana,Hugo,Ida,Ines,Ivan,Jakub,Jana,Jonas,Kaito,Katarina,Kofi,Lars,Leila,Liam,Lin,"
    "Lucia,Magnus,Malik,Marta,Matteo,Mei,Mila,Nadia,Nils,Noor,Olga,Omar,Oskar,Paula,Pedro,Petra,Priya,Quentin,Rafael,"
    "Rania,Rosa,Samuel,Sanne,Selma,Sofia,Sven,Tariq,Tereza,Thea,Tomas,Uma,Valentina,Viktor,Wanda,Xavier,Yara,Yusuf,Zoe"
)
_LAST_NAMES = _listed(
    "Adeyemi,Andersson,Bakker,Baumann,Bianchi,Brennan,Castillo,Chen,Costa,Dahl,Demir,Dubois,Eriksen,Fernandes,Fischer,"
    "Fontaine,Garcia,Gruber,Haddad,Hansen,Horvat,Ito,Ivanova,Jansen,Kaplan,Keller,Kim,Kowalska,Kumar,Laine,Larsen,"
    "Lefevre,Lindqvist,Lopez,Mancini,Martin,Mensah,Moreau,Murphy,Nakamura,Navarro,Nguyen,Novak,Nowak,O'Brien,Okafor,"
    "Olsen,Ortega,Papadopoulos,Pereira,Popescu,Rahman,Ricci,Rossi,Sato,Schneider,Silva,Singh,Sorensen,Suzuki,Tanaka,"
    "Toth,Vargas,Virtanen,Visser,Wagner,Weber,Yilmaz,Zhang,Zimmermann"
)
_CITIES = (
    ("Lisbon", "PT"), ("Porto", "PT"), ("Madrid", "ES"), ("Sevilla", "ES"), ("Lyon", "FR"), ("Nantes", "FR"),
    ("Bologna", "IT"), ("Torino", "IT"), ("Wien", "AT"), ("Graz", "AT"), ("Zürich", "CH"), ("Leipzig", "DE"),
    ("Hamburg", "DE"), ("Köln", "DE"), ("Utrecht", "NL"), ("Gent", "BE"), ("Århus", "DK"), ("Malmö", "SE"),
    ("Göteborg", "SE"), ("Bergen", "NO"), ("Tampere", "FI"), ("Tartu", "EE"), ("Riga", "LV"), ("Kraków", "PL"),
    ("Brno", "CZ"), ("Bratislava", "SK"), ("Pécs", "HU"), ("Zagreb", "HR"), ("Ljubljana", "SI"), ("Cork", "IE"),
    ("Leeds", "GB"), ("Glasgow", "GB"), ("Athína", "GR"), ("Cluj-Napoca", "RO"), ("İzmir", "TR"), ("Plovdiv", "BG"),
)  # fmt: skip
_QUALITIES = _listed("Oak,Walnut,Linen,Woollen,Copper,Enamel,Ceramic,Folding,Stackable,Weatherproof,Hand-made,Adjustable")
_THINGS = _listed(
    "desk lamp,kettle,blanket,bookshelf,chopping board,coat rack,dining chair,espresso cup,garden bench,mixing bowl,"
    "notebook,picture frame,plant pot,reading chair,salad bowl,side table,teapot,toolbox,wall clock,watering can"
)


@dataclass(frozen=True, slots=True)
class Table:
    """One table's rows, in an order that satisfies foreign keys if the tables are loaded as `tables` yields them."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def tables(seed: int) -> Iterator[Table]:
    """Customers, products, orders and order lines: more than 50 000 rows."""
    dice = random.Random(seed)  # noqa: S311 - names and prices, not secrets
    yield Table("customers", ("id", "name", "email", "city", "country", "joined_on"), tuple(_customers(dice)))
    products = tuple(_products(dice))
    yield Table("products", ("id", "name", "price"), products)
    prices = [row[2] for row in products]
    orders = tuple(_orders(dice))
    yield Table("orders", ("id", "customer_id", "placed_at", "status"), orders)
    columns = ("order_id", "line_no", "product_id", "quantity", "price")
    yield Table("order_lines", columns, tuple(line for row in orders for line in _lines(dice, row[0], prices)))


def _customers(dice: random.Random) -> Iterator[Row]:
    for number in range(1, CUSTOMERS + 1):
        first, last = dice.choice(_FIRST_NAMES), dice.choice(_LAST_NAMES)
        city, country = dice.choice(_CITIES)
        email = f"{first}.{last}{number}@shop.example".lower().replace("'", "")
        joined = _FIRST_DAY.date() - timedelta(days=dice.randrange(2000))
        yield number, f"{first} {last}", email, city, country, joined


def _products(dice: random.Random) -> Iterator[Row]:
    for number in range(1, PRODUCTS + 1):
        quality, thing = _QUALITIES[(number - 1) % len(_QUALITIES)], _THINGS[(number - 1) // len(_QUALITIES)]
        yield number, f"{quality} {thing}", Decimal(dice.randrange(490, 24_900, 10)) / 100


def _orders(dice: random.Random) -> Iterator[Row]:
    placed = _FIRST_DAY
    for number in range(1, ORDERS + 1):
        placed += timedelta(seconds=dice.randrange(5, 4000))
        yield number, dice.randint(1, CUSTOMERS), placed, dice.choice(("placed", "paid", "shipped"))


def _lines(dice: random.Random, order_id: Value, prices: list[Value]) -> Iterator[Row]:
    for line_no in range(1, dice.randint(LINES_MIN, LINES_MAX) + 1):
        product = dice.randint(1, len(prices))
        yield order_id, line_no, product, dice.randint(1, 5), prices[product - 1]
