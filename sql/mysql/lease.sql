-- The lease, on MySQL: a primary that hears no pulse for as long as its last one granted turns itself read-only. It is for
-- the case where nobody reaches it any more. Created on every server of its own, out of the binary log; it does nothing on
-- a server that is read-only, nor where the last pulse granted no lease (lease_ms = 0).

-- The event runs with the rights of this account, which nobody can log in to.
CREATE USER IF NOT EXISTS 'replclus_lease'@'localhost' ACCOUNT LOCK;
ALTER USER 'replclus_lease'@'localhost' ACCOUNT LOCK;
GRANT CONNECTION_ADMIN, SYSTEM_VARIABLES_ADMIN ON *.* TO 'replclus_lease'@'localhost';
GRANT EVENT ON replclus.* TO 'replclus_lease'@'localhost';
GRANT SELECT ON replclus.pulse TO 'replclus_lease'@'localhost';

DROP EVENT IF EXISTS replclus.lease;

-- One run lasts up to an hour and looks every second; those that are started meanwhile find the lock taken and end. Seconds
-- are counted, not read from a clock, because a clock may be set. While a commit waits for an acknowledgement nothing is
-- acknowledged, and read-only would have to wait behind it: then it goes on counting. Whatever else is in the way of
-- read-only (a long statement) is waited for five seconds at a time.
CREATE DEFINER = 'replclus_lease'@'localhost' EVENT replclus.lease
ON SCHEDULE EVERY 1 SECOND ON COMPLETION PRESERVE ENABLE COMMENT 'replclus lease 1'
DO
watch: BEGIN
    DECLARE heard, newest, lease, waiting, silent_s, turns BIGINT UNSIGNED DEFAULT 0;
    DECLARE CONTINUE HANDLER FOR 1205 BEGIN END;
    IF @@global.read_only <> 0 OR GET_LOCK('replclus.lease', 0) <> 1 THEN
        LEAVE watch;
    END IF;
    SET SESSION autocommit = 1, lock_wait_timeout = 5;
    SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;
    look: WHILE @@global.read_only = 0 AND (turns < 3600 OR silent_s > 0) DO
        SELECT COALESCE(SUM(variable_value), 0) INTO waiting
            FROM performance_schema.global_status WHERE variable_name LIKE 'Rpl_semi_sync_%_wait_sessions';
        SELECT COALESCE(MAX(beat), 0), COALESCE(MAX(lease_ms), 0) INTO newest, lease FROM replclus.pulse WHERE id = 1;
        IF lease = 0 THEN
            LEAVE look;
        END IF;
        IF newest <> heard THEN
            SET heard = newest, silent_s = 0;
        ELSEIF silent_s * 1000 >= lease AND waiting = 0 THEN
            SET GLOBAL super_read_only = 1;
        END IF;
        IF @@global.read_only = 0 THEN
            DO SLEEP(1);
            SET silent_s = silent_s + 1, turns = turns + 1;
        END IF;
    END WHILE;
    DO RELEASE_LOCK('replclus.lease');
    IF lease > 0 AND silent_s * 1000 >= lease AND @@global.read_only <> 0 THEN
        -- For the error log.
        SIGNAL SQLSTATE '01000' SET MESSAGE_TEXT = 'replclus: no pulse for the length of the lease: read-only from now on';
    END IF;
END;
