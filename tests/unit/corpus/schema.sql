-- What the statements of the corpus refer to, so that a server can run them. Split at the semicolons that end a line.
CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, a INT, b VARCHAR(100), c DATETIME, j JSON, KEY ix_a (a));
CREATE TABLE u (id INT PRIMARY KEY, t_id INT, name VARCHAR(100));
CREATE TABLE users (id INT PRIMARY KEY, name VARCHAR(100));
CREATE TABLE p (id INT, a INT) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE);
CREATE TABLE f (id INT PRIMARY KEY, b TEXT, FULLTEXT KEY ix_b (b));
CREATE TABLE w (`update` INT, `lock` INT, `into` INT, `for update` INT, `lock in share mode` INT, updated_at INT, locked INT, deleted INT, into_x INT);
CREATE TABLE w2 (`for"update` INT);
CREATE TABLE w3 (`a``b FOR UPDATE` INT);
CREATE VIEW v AS SELECT id, a FROM t;
INSERT INTO t (a, b, c, j) VALUES (1, 'x', '2020-01-01', '{"a": 1}'), (2, 'y', '2020-01-02', '[]');
INSERT INTO u VALUES (1, 1, 'x');
CREATE FUNCTION fw(x INT) RETURNS INT DETERMINISTIC MODIFIES SQL DATA BEGIN INSERT INTO u VALUES (x + 100, 1, 'fw'); RETURN x; END;
CREATE PROCEDURE p() INSERT INTO u VALUES (50, 1, 'p');
