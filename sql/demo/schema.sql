-- A small shop: what `replclus demo` fills, writes to and compares. Sent to the cluster like any application's DDL.

CREATE TABLE app.customers (
    id        INT UNSIGNED NOT NULL PRIMARY KEY,
    name      VARCHAR(80)  NOT NULL,
    email     VARCHAR(120) NOT NULL,
    city      VARCHAR(60)  NOT NULL,
    country   CHAR(2)      NOT NULL,
    joined_on DATE         NOT NULL,
    KEY city (city)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE app.products (
    id    INT UNSIGNED  NOT NULL PRIMARY KEY,
    name  VARCHAR(80)   NOT NULL,
    price DECIMAL(8, 2) NOT NULL
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE app.orders (
    id          BIGINT UNSIGNED NOT NULL PRIMARY KEY,
    customer_id INT UNSIGNED    NOT NULL,
    placed_at   DATETIME(3)     NOT NULL,
    status      VARCHAR(10)     NOT NULL,
    KEY customer_id (customer_id),
    FOREIGN KEY (customer_id) REFERENCES app.customers (id)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE app.order_lines (
    order_id   BIGINT UNSIGNED   NOT NULL,
    line_no    TINYINT UNSIGNED  NOT NULL,
    product_id INT UNSIGNED      NOT NULL,
    quantity   SMALLINT UNSIGNED NOT NULL,
    price      DECIMAL(8, 2)     NOT NULL,
    PRIMARY KEY (order_id, line_no),
    KEY product_id (product_id),
    FOREIGN KEY (order_id) REFERENCES app.orders (id),
    FOREIGN KEY (product_id) REFERENCES app.products (id)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
