"""What new images are held against: the training distribution that ships, and those of the versions that serve."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from lib.configs.settings import Settings
from lib.domain.errors import BadRequestError
from lib.imaging.volume import read_volume
from lib.onboarding.distribution import SHIPPED_DISTRIBUTION, Distribution, read_distribution
from lib.onboarding.measuring import Features
from lib.onboarding.readiness import nearest_drift
from lib.registry.models import ModelFolder
from lib.registry.serving import read_serving
from lib.store.cohort import CohortStore
from lib.trainers.described import distribution_file, feature_reader

logger = logging.getLogger(__name__)


def known_distributions(models: ModelFolder, codes: Sequence[str]) -> list[Distribution]:
    """Every training distribution behind what serves some sequences; one that cannot be read is left out, and said."""
    files = [models.shipped / SHIPPED_DISTRIBUTION]
    for code in codes:
        serving = read_serving(models.folder(code))
        if serving:
            files.append(distribution_file(models, code, serving.champion.version))
    found = []
    for file in files:
        try:
            if file.is_file():
                found.append(read_distribution(file))
        except BadRequestError as error:
            logger.warning("%s", error)
    return found


def drift_of(settings: Settings, store: CohortStore) -> Callable[[str], float | None]:
    """Measures how foreign an image of a store looks; the finder is read with the first one."""
    models = settings.models()
    kept: list[Features] = []

    def drift(image_id: str) -> float | None:
        code = store.image(image_id).sequence
        known = known_distributions(models, [code])
        if not any(code in one.sequences for one in known):
            return None
        if not kept:
            kept.append(feature_reader(models)[0])
        return nearest_drift(code, kept[0](read_volume(store.image_path(image_id))), known)

    return drift
