"""What player and timeline say."""


def script() -> dict[str, object]:
    return {}
