"""The images of their own that somebody started servers from lately, for the form to suggest."""

from typing import Any

from quaderno.config import Config

MOST = 5


class RemembersImages:
    """Of a spawner: keeps them in its state, over stops, failed starts and the hub's ends."""

    quaderno: Config
    recent_images: tuple[str, ...] = ()

    def remember_image(self, image: str) -> None:
        """To be called when a server has started from `image`; the catalogue's need no memory."""
        if image not in {entry.reference for entry in self.quaderno.servers.images}:
            others = (known for known in self.recent_images if known != image)
            self.recent_images = (image, *others)[:MOST]

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)  # type: ignore[misc]
        self.recent_images = tuple(map(str, state.get("recent_images", ())))[:MOST]

    def get_state(self) -> dict[str, Any]:
        state: dict[str, Any] = super().get_state()  # type: ignore[misc]
        recent = list(self.recent_images)
        return state | {"recent_images": recent} if recent else state
