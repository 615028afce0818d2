-- What replclus keeps inside the servers. It replicates like any other schema, so it is created on the primary only.
-- Every statement may be run again.

CREATE DATABASE IF NOT EXISTS replclus CHARACTER SET utf8mb4;

-- Whose server this is. One row, written when the cluster is made; a server that names another cluster is never touched.
CREATE TABLE IF NOT EXISTS replclus.identity (
    id         TINYINT UNSIGNED NOT NULL PRIMARY KEY CHECK (id = 1),
    cluster_id VARCHAR(64)      NOT NULL
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The pulse: one row, updated on the primary at every tick. `beat` counts milliseconds and only grows.
-- `topology` is the map that applications route by, as JSON. `lease_ms`: see lease.sql; 0 grants none.
CREATE TABLE IF NOT EXISTS replclus.pulse (
    id             TINYINT UNSIGNED NOT NULL PRIMARY KEY CHECK (id = 1),
    beat           BIGINT UNSIGNED  NOT NULL,
    epoch          BIGINT UNSIGNED  NOT NULL,
    primary_node   VARCHAR(64)      NOT NULL,
    routing_ttl_ms INT UNSIGNED     NOT NULL,
    lease_ms       INT UNSIGNED     NOT NULL DEFAULT 0,
    sent_at        DATETIME(6)      NOT NULL,
    topology       MEDIUMTEXT       NOT NULL
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Tokens of writes whose outcome an application wants to be able to look up after a lost connection.
CREATE TABLE IF NOT EXISTS replclus.outcome (
    token      VARBINARY(32) NOT NULL PRIMARY KEY,
    written_at DATETIME(6)   NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    KEY written_at (written_at)
) ENGINE = InnoDB;
