"""For pytest in the process of SQLAlchemy's dialect suite.

The suite knows by the driver's name what PyMySQL cannot do, and which of its cursors are on the server. Ours is introduced by
that name, and found by name without the package's entry points, which the process of a checkout may not have.
"""

from __future__ import annotations

from sqlalchemy.dialects import registry

from replclus.integrations.sqlalchemy import MySQLDialect_replclus

MySQLDialect_replclus.driver = "pymysql"
registry.register("mysql.replclus", "replclus.integrations.sqlalchemy", "MySQLDialect_replclus")
# On MariaDB the suite changes the URL to this.
registry.register("mariadb.replclus", "replclus.integrations.sqlalchemy", "MariaDBDialect_replclus")
