"""Where a person's `local` files are: on the node that their last server ran on."""

from typing import Any

from quaderno.config import Config


class RemembersNode:
    """Of a spawner: keeps the node in its state, over stops, failed starts and the hub's ends."""

    quaderno: Config
    last_node = ""

    def local_is_here(self) -> None:
        """To be called when their `local` directory has been made on this node."""
        self.last_node = self.quaderno.node_name

    def local_elsewhere(self) -> str:
        """The node that has their files of last time, when it is another one; else nothing."""
        return self.last_node if self.last_node != self.quaderno.node_name else ""

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)  # type: ignore[misc]
        self.last_node = str(state.get("node", ""))

    def get_state(self) -> dict[str, Any]:
        state: dict[str, Any] = super().get_state()  # type: ignore[misc]
        return state | {"node": self.last_node} if self.last_node else state
