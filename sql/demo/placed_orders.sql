-- What one server has of the orders that the application processes placed (their ids begin at one billion).

SELECT o.id AS id, o.status AS status, COUNT(l.line_no) AS order_lines
FROM app.orders AS o LEFT JOIN app.order_lines AS l ON l.order_id = o.id
WHERE o.id >= 1000000000
GROUP BY o.id, o.status;
