"""What every detection metric is read from: how many positives and negatives each threshold finds.

All metrics here change only at scores that some positive has (true positives rise there alone), so a curve needs one
row per distinct positive score. Nothing is resampled: areas are those of the exact curves.

Notation: for a distinct positive score v,
    positives       positives with score v
    negatives_ge    negatives with a score >= v (false positives at threshold v)
    negatives_gt    negatives with a score > v
Counts may be weights, as in a bootstrap.
"""

from dataclasses import dataclass
from typing import Annotated, Any, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from anogen_core.records import Record

INSTANCE_SHARE = 0.5
"""A region is found when more than this share of its pixels is (DeSTSeg)."""

Metric = Annotated[float, Field(ge=0, le=1)] | None


class ScoreMetrics(Record):
    """How well scores separate two classes; None where only one class is present."""

    auroc: Metric = None
    """Area under the ROC curve; ties count half."""
    ap: Metric = None
    """Average precision, as scikit-learn defines it: the sum of precision times recall gained."""
    f1_max: Metric = None
    """The best F1 over all thresholds."""


class PixelMetrics(ScoreMetrics):
    """How well anomaly maps separate pixels. A region is an 8-connected part of a mask."""

    aupro: Metric = None
    """Area under the per-region-overlap curve up to a false-positive rate of 0.3, divided by 0.3 (MVTec AD)."""
    aupro_05: Metric = None
    """The same up to a false-positive rate of 0.05 (MVTec 3D-AD and later)."""
    iap: Metric = None
    """Instance average precision (Zhang et al., CVPR 2023): the mean over regions of the pixel precision at the
    threshold that finds the region, where a lower threshold of some other region may lend its better precision."""
    iap_90: Metric = None
    """That precision at the threshold that finds 90 % of the regions."""


@final
@dataclass(frozen=True, slots=True)
class Curve:
    """One row per distinct positive score, the greatest first."""

    positives: NDArray[Any]
    negatives_ge: NDArray[Any]
    negatives_gt: NDArray[Any]
    num_negatives: float
    overlap: NDArray[np.float64]
    """Overlap gained at this score, summed over the regions: each region gives 1 in total."""
    instances: NDArray[Any]
    """Regions of which more than half is found from this score on."""

    def score_metrics(self) -> ScoreMetrics:
        """Return the metrics that know no regions."""
        found = np.cumsum(self.positives)
        total = found[-1]
        below = self.num_negatives - (self.negatives_ge + self.negatives_gt) / 2
        f1 = 2 * found / (found + self.negatives_ge + total)
        return ScoreMetrics(
            auroc=min(1.0, float(self.positives @ below / (total * self.num_negatives))),
            ap=min(1.0, float(self.positives @ self._precision() / total)),
            f1_max=float(f1.max()),
        )

    def pixel_metrics(self) -> PixelMetrics:
        """Return all metrics of anomaly maps."""
        iap, iap_90 = self._instance_precision()
        return PixelMetrics(
            **self.score_metrics().model_dump(),
            aupro=self.area_under_overlap(0.3),
            aupro_05=self.area_under_overlap(0.05),
            iap=iap,
            iap_90=iap_90,
        )

    def area_under_overlap(self, limit: float) -> float:
        """Return the area under (false-positive rate, mean overlap) from 0 to the limit, divided by the limit.

        Points are joined by straight lines; the curve is cut at the limit by interpolation.
        """
        gained = self.overlap / self.overlap.sum()
        overlap = np.cumsum(gained)
        x = np.stack((self.negatives_gt, self.negatives_ge), axis=1).ravel() / self.num_negatives
        y = np.stack((overlap - gained, overlap), axis=1).ravel()
        x, y = np.append(x, 1.0), np.append(y, 1.0)
        inside = int(np.searchsorted(x, limit, side="right"))
        if inside < len(x):
            share = (limit - x[inside - 1]) / (x[inside] - x[inside - 1]) if inside else 0.0
            end = y[inside - 1] + share * (y[inside] - y[inside - 1]) if inside else 0.0
            x, y = np.append(x[:inside], limit), np.append(y[:inside], end)
        return min(1.0, float(np.trapezoid(y, x) / limit))

    def _precision(self) -> NDArray[np.float64]:
        found = np.cumsum(self.positives)
        return np.asarray(found / (found + self.negatives_ge), np.float64)

    def _instance_precision(self) -> tuple[float, float]:
        """Return IAP and IAP@90."""
        rows = np.flatnonzero(self.instances)
        instances = self.instances[rows]
        # The best precision at this or a lower threshold that finds a region.
        best = np.maximum.accumulate(self._precision()[rows][::-1])[::-1]
        found, total = np.cumsum(instances), instances.sum()
        # 1e-9: 0.9 times a number of regions is not exact.
        at_90 = int(np.searchsorted(found, 0.9 * total - 1e-9))
        return min(1.0, float(instances @ best / total)), float(best[at_90])
