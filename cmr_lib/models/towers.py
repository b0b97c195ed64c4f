"""Which image tower a name stands for: the method's own, or a baseline in its place."""

from cmr_lib.models.frames import FramesEncoder
from cmr_lib.models.video import VideoConfig, VideoEncoder
from cmr_lib.models.zoo import BODIES, TorchvisionEncoder

ImageTower = VideoEncoder | TorchvisionEncoder  # a FramesEncoder is a VideoEncoder


def image_tower(config: VideoConfig) -> ImageTower:
    """A tower with new weights. Raises ValueError for a name that is not known."""
    if config.name == "divided_space_time":
        return VideoEncoder(config)
    if config.name == "frames":
        return FramesEncoder(config)
    if config.name in BODIES:
        return TorchvisionEncoder(config)
    known = ", ".join(["divided_space_time", "frames", *BODIES])
    raise ValueError(f"video.name is {config.name!r}; known are {known}.")
