"""For pytest in the process of PyMySQL's own suite: what the suite misses in today's PyMySQL, and the other `connect`."""

from __future__ import annotations

import os

import pymysql
from pymysql import connections

import replclus

# The suite is a part of the package, and so are two modules that only it still uses.
pymysql.__path__.append(f"{os.environ['SUITE']}/pymysql")

if os.environ["THROUGH"] == "replclus":
    # The suite reloads pymysql, which takes the class from here again.
    connections.Connection = replclus.Connection
    pymysql.connect = pymysql.Connect = pymysql.Connection = replclus.Connection
