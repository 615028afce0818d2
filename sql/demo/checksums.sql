-- SHA-256 over the rows of every table in the order of their keys, computed by one server, in chunks of at most 20 000
-- orders or customers so that no chunk outgrows max_allowed_packet. Equal answers mean equal tables.

SET SESSION group_concat_max_len = 16777216;

SELECT 'customers' AS table_name, id DIV 20000 AS chunk, COUNT(*) AS row_count,
       SHA2(GROUP_CONCAT(SHA2(CONCAT_WS('|', id, name, email, city, country, joined_on), 256)
                         ORDER BY id SEPARATOR ''), 256) AS digest
FROM app.customers GROUP BY chunk
UNION ALL
SELECT 'products', id DIV 20000 AS chunk, COUNT(*),
       SHA2(GROUP_CONCAT(SHA2(CONCAT_WS('|', id, name, price), 256) ORDER BY id SEPARATOR ''), 256)
FROM app.products GROUP BY chunk
UNION ALL
SELECT 'orders', id DIV 20000 AS chunk, COUNT(*),
       SHA2(GROUP_CONCAT(SHA2(CONCAT_WS('|', id, customer_id, placed_at, status), 256) ORDER BY id SEPARATOR ''), 256)
FROM app.orders GROUP BY chunk
UNION ALL
SELECT 'order_lines', order_id DIV 20000 AS chunk, COUNT(*),
       SHA2(GROUP_CONCAT(SHA2(CONCAT_WS('|', order_id, line_no, product_id, quantity, price), 256)
                         ORDER BY order_id, line_no SEPARATOR ''), 256)
FROM app.order_lines GROUP BY chunk
ORDER BY table_name, chunk;
