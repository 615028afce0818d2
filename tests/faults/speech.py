"""What administrators say to a server behind the cluster's back, in the words of each family."""

from __future__ import annotations

from dataclasses import dataclass

from replclus.model.spec import Flavour


@dataclass(frozen=True, slots=True)
class Speech:
    flavour: Flavour

    @property
    def _mysql(self) -> bool:
        return self.flavour is Flavour.MYSQL

    def _choose(self, mariadb: str, mysql: str) -> str:
        return mysql if self._mysql else mariadb

    @property
    def stop_replication(self) -> str:
        return self._choose("STOP SLAVE", "STOP REPLICA")

    @property
    def start_replication(self) -> str:
        return self._choose("START SLAVE", "START REPLICA")

    @property
    def stop_receiver(self) -> str:
        return f"{self.stop_replication} IO_THREAD"

    @property
    def start_receiver(self) -> str:
        return f"{self.start_replication} IO_THREAD"

    @property
    def replication_status(self) -> str:
        return self._choose("SHOW SLAVE STATUS", "SHOW REPLICA STATUS")

    @property
    def seconds_behind(self) -> str:
        """The column of `replication_status` that claims to be the lag."""
        return self._choose("Seconds_Behind_Master", "Seconds_Behind_Source")

    @property
    def last_receiver_error(self) -> str:
        return "Last_IO_Errno"

    @property
    def forget_binlogs(self) -> str:
        return self._choose("RESET MASTER", "RESET BINARY LOGS AND GTIDS")

    @property
    def semi_sync_source(self) -> str:
        """The prefix of the variables."""
        return self._choose("rpl_semi_sync_master", "rpl_semi_sync_source")

    def receive_from(self, host: str, port: int) -> str:
        """Another source; account and method stay."""
        return self._choose(
            f"CHANGE MASTER TO MASTER_HOST='{host}', MASTER_PORT={port}",
            f"CHANGE REPLICATION SOURCE TO SOURCE_HOST='{host}', SOURCE_PORT={port}",
        )

    @property
    def open_for_writes(self) -> str:
        """On MySQL this ends `super_read_only` as well, which would not even let root write."""
        return "SET GLOBAL read_only = OFF"
