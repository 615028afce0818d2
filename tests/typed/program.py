"""A program as a user writes it. test_typed.py holds it against `mypy --strict`; nobody runs it."""

from __future__ import annotations

from pymysql.cursors import DictCursor

import replclus


def customer(connection: replclus.Connection, number: int) -> str | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM customers WHERE id = %s", (number,))
        row = cursor.fetchone()
        route: replclus.Route | None = cursor.route
        if route is not None:
            print(route.node, route.target, route.reason)
        return None if row is None else str(row[0])


def order(connection: replclus.Connection, customer: int, amount: int) -> bool:
    try:
        with connection.cursor(DictCursor) as cursor:
            affected: int = cursor.execute("INSERT INTO orders (customer, amount) VALUES (%s, %s)", (customer, amount))
            print(affected, cursor.lastrowid)
        connection.commit()
    except replclus.TransactionLost:
        return order(connection, customer, amount)
    except replclus.OutcomeUnknown as error:
        print(error)
        return connection.outcome() == "committed"
    except (replclus.Unavailable, replclus.SessionLost, replclus.StatementRefused):
        return False
    return True


def main() -> None:
    with replclus.connect(cluster="replclus.toml", user="app", consistency="session") as connection:
        where: replclus.Route | None = connection.route
        token: str = connection.causality_token
        connection.catch_up()
        print(where, token, customer(connection, 1), order(connection, 1, 100))
    replclus.install_as_MySQLdb()


if __name__ == "__main__":
    main()
