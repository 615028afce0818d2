-- Makes this server a member of the cluster %(cluster_id)s. A row that is there already stays as it is.
INSERT INTO replclus.identity (id, cluster_id) VALUES (1, %(cluster_id)s) ON DUPLICATE KEY UPDATE id = id;
