"""The operator's door: the `replclus` command. Talks to people; decides nothing and speaks no SQL for replication."""
