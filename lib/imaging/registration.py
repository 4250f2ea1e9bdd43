"""Rigid alignment of one region (a kidney and what grows on it) between two images of one examination.

All points are scanner coordinates (right, anterior, superior) in mm; SimpleITK is given images whose axes are those, so
its world is ours. The source is the fixed image, because its label tells where to look: the metric (Mattes' mutual
information) is sampled inside the region and a thin shell around it, and so ignores the wall and the spine, which do
not move with the breath. The way back is then refined with the target as the fixed image, and the motion halfway
between both is the answer: neither image is preferred, and their distance tells how sure it is. One thread, so that
the same images always give the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name that all of its documentation uses
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from lib.domain.errors import RegistrationError
from lib.imaging.geometry import resample_onto
from lib.imaging.volume import Grid, Volume

Matrix = NDArray[np.floating]
Mask = NDArray[np.bool_]
Points = NDArray[np.floating]

SHELL_MM = 6.0
REACH_MM = (8.0, 8.0, 20.0)  # how far the search goes along (right, anterior, superior): the breath moves up and down
MIN_INSIDE = 0.4  # share of the region that has to lie in the target's field of view
MOST_TURNED_DEG = 15.0
MOST_INVERSE_ERROR_MM = 5.0
LEAST_INFORMATION = 0.05  # nats; images of one patient share several times as much
_WORKING_MM = 2.0
_COARSE = 2  # the search looks at every second working voxel along each axis, in steps as long
_ROOM_MM = 10.0  # beyond the reach, for the refinement
_BEYOND_MM = 6.0  # how far the refinement may go beyond the reach
_BINS = 32
_LEVELS = ((2, 2.0), (1, 1.0))  # (working voxels per voxel, smoothing in mm) of the refinement
_ORTHOGONAL = 1e-6  # how far from a rotation a matrix may be by rounding
_STEP_MM, _SMALLEST_STEP_MM, _STEPS = 2.0, 0.05, 40


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Alignment:
    """Where a region of the source lies in the target.

    Attributes:
        matrix: Source coordinates to target coordinates, 4 x 4, rigid.
        information: Mutual information of both images over the region, in nats.
        inverse_error_mm: Root mean square distance between the region's points and where the way there and the way
            back, each refined with another image fixed, put them.
        shift_mm: How far the region's middle moved along (right, anterior, superior).
    """

    matrix: Matrix
    information: float
    inverse_error_mm: float
    shift_mm: tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _View:
    """Part of an image on a working grid along the scanner's axes, with the voxels that the metric may use."""

    image: sitk.Image
    mask: sitk.Image


def align(source: Volume, region: Mask, target: Volume, *, shell_mm: float = SHELL_MM) -> Alignment:
    """Find the rigid motion of a region: a search over translations, then six degrees of freedom, there and back.

    Args:
        source: The image that the region was drawn on.
        region: On the source's voxels; not empty.
        target: Another image in the same scanner coordinates; any orientation and spacing.
        shell_mm: How far around the region the images are compared.

    Raises:
        RegistrationError: When the region does not lie in the target's field of view, or no optimum was found.
    """
    points = voxel_centres_ras(region, source.affine)
    inside = share_inside(points, target)
    if inside < MIN_INSIDE:
        msg = f"{inside:.0%} of the region lies in the target's field of view; expected at least {MIN_INSIDE:.0%}"
        raise RegistrationError(msg)
    there, information = _way_there(source, target, region, points, shell_mm)
    moved = _moved(points, there)
    back = _way_back(source, target, region, there, moved, shell_mm)
    middle = (points.min(0) + points.max(0)) / 2
    matrix = _halfway(there, np.linalg.inv(back), middle)
    right, anterior, superior = (_moved(middle, matrix) - middle).tolist()
    _check_plausible(matrix, (right, anterior, superior))
    inverse_error_mm = float(np.sqrt(np.square(_moved(moved, back) - points).sum(1).mean()))
    if not inverse_error_mm <= MOST_INVERSE_ERROR_MM:
        apart = f"{inverse_error_mm:.1f} mm apart; expected at most {MOST_INVERSE_ERROR_MM:g} mm"
        msg = f"the ways there and back end {apart}"
        raise RegistrationError(msg)
    return Alignment(
        matrix=matrix,
        information=information,
        inverse_error_mm=inverse_error_mm,
        shift_mm=(right, anterior, superior),
    )


def _check_plausible(matrix: Matrix, shift_mm: tuple[float, float, float]) -> None:
    """Refuse a motion that no breath makes.

    Raises:
        RegistrationError: When the region moved further than was searched, or turned more than a kidney does.
    """
    turned = float(np.degrees(Rotation.from_matrix(matrix[:3, :3]).magnitude()))
    further = any(abs(shift) > reach + _BEYOND_MM for shift, reach in zip(shift_mm, REACH_MM, strict=True))
    if further or turned > MOST_TURNED_DEG:
        moved = ", ".join(f"{shift:.0f}" for shift in shift_mm)
        reach = ", ".join(f"{reach + _BEYOND_MM:g}" for reach in REACH_MM)
        msg = (
            f"the region seems to have moved by ({moved}) mm and turned by {turned:.0f} degrees; "
            f"expected at most ({reach}) mm and {MOST_TURNED_DEG:g} degrees between two breath-holds"
        )
        raise RegistrationError(msg)


def _moved(points: Points, matrix: Matrix) -> Points:
    moved: Points = points @ matrix[:3, :3].T + matrix[:3, 3]
    return moved


def _halfway(one: Matrix, other: Matrix, middle: Points) -> Matrix:
    """The motion between two: mean of their rotations, and of where they put the region's middle."""
    turn = Rotation.from_matrix([one[:3, :3], other[:3, :3]]).mean().as_matrix()
    matrix = np.eye(4)
    matrix[:3, :3] = turn
    matrix[:3, 3] = (_moved(middle, one) + _moved(middle, other)) / 2 - turn @ middle
    return matrix


def voxel_centres_ras(mask: Mask, affine: Matrix) -> Points:
    """Scanner coordinates (n, 3) of a mask's voxels."""
    return _moved(np.argwhere(mask).astype(np.float64), affine)


def share_inside(points: Points, target: Volume | Grid) -> float:
    """Share of points that lie in an image's field of view."""
    voxels = _moved(points, np.linalg.inv(target.affine))
    return float(((voxels >= -0.5) & (voxels <= np.array(target.shape) - 0.5)).all(1).mean())


def _way_there(source: Volume, target: Volume, region: Mask, points: Points, shell_mm: float) -> tuple[Matrix, float]:
    """Source to target coordinates, by search and refinement; with the mutual information."""
    low, high = points.min(0), points.max(0)
    margin = shell_mm + _WORKING_MM
    room = margin + _ROOM_MM + np.array(REACH_MM)
    here = _near(_view(source, low - margin, high + margin), region, source.affine, shell_mm)
    wider = _view(target, low - room, high + room)
    start = sitk.Euler3DTransform()
    start.SetCenter(((low + high) / 2).tolist())
    try:
        start.SetTranslation(_search(here, wider))
        found, information = _refine(here, wider, start)
    except RuntimeError:  # SimpleITK raises nothing else; its message is a page of its own source lines
        msg = "no optimum was found: the images share no structure there; expected two images of one patient"
        raise RegistrationError(msg) from None
    if not information >= LEAST_INFORMATION:
        msg = f"the images share {information:.2f} nats of information there; expected at least {LEAST_INFORMATION:g}"
        raise RegistrationError(msg)
    return _matrix(found), information


def _search(there: _View, target: _View) -> tuple[float, ...]:
    """Best translation among every one within reach."""
    step = _COARSE * _WORKING_MM
    smooth = [sitk.SmoothingRecursiveGaussian(view.image, step / 2) for view in (there, target)]
    coarse = sitk.Shrink(smooth[0], [_COARSE] * 3)
    mask = sitk.Resample(there.mask, coarse, sitk.Transform(), sitk.sitkNearestNeighbor)
    translation = sitk.TranslationTransform(3)
    method = _method(mask, target.mask)
    method.SetOptimizerAsExhaustive([round(reach / step) for reach in REACH_MM])
    method.SetOptimizerScales([step] * 3)
    method.SetInitialTransform(translation, inPlace=True)
    method.Execute(coarse, smooth[1])
    best: tuple[float, ...] = translation.GetOffset()
    return best


def _refine(there: _View, target: _View, start: sitk.Euler3DTransform) -> tuple[sitk.Euler3DTransform, float]:
    transform = sitk.Euler3DTransform(start)
    method = _method(there.mask, target.mask)
    method.SetShrinkFactorsPerLevel([shrink for shrink, _ in _LEVELS])
    method.SetSmoothingSigmasPerLevel([smoothing for _, smoothing in _LEVELS])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=_STEP_MM, minStep=_SMALLEST_STEP_MM, numberOfIterations=_STEPS, estimateLearningRate=method.Never
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(there.image, target.image)
    return transform, -float(method.GetMetricValue())


def _method(fixed_mask: sitk.Image, moving_mask: sitk.Image) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetNumberOfWorkUnits(1)
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricSamplingStrategy(method.NONE)
    method.SetMetricFixedMask(fixed_mask)
    method.SetMetricMovingMask(moving_mask)
    method.SetInterpolator(sitk.sitkLinear)
    return method


def _way_back(source: Volume, target: Volume, region: Mask, matrix: Matrix, moved: Points, shell_mm: float) -> Matrix:
    """Target to source coordinates, refined with the target as the fixed image, from the inverse of the way there."""
    low, high = moved.min(0), moved.max(0)
    margin = shell_mm + _WORKING_MM
    here = _near(_view(target, low - margin, high + margin), region, matrix @ source.affine, shell_mm)
    inverse, middle = np.linalg.inv(matrix), (low + high) / 2
    start = sitk.Euler3DTransform()
    start.SetCenter(middle.tolist())
    start.SetMatrix(inverse[:3, :3].ravel().tolist(), _ORTHOGONAL)
    start.SetTranslation((_moved(middle, inverse) - middle).tolist())
    ends = _moved(moved, inverse)
    room = margin + _ROOM_MM
    try:
        back, _ = _refine(here, _view(source, ends.min(0) - room, ends.max(0) + room), start)
    except RuntimeError:
        msg = "the way back was not found; expected two images of one patient"
        raise RegistrationError(msg) from None
    return _matrix(back)


def _matrix(transform: sitk.Euler3DTransform) -> Matrix:
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(transform.GetMatrix()).reshape(3, 3)
    matrix[:3, 3] = transform.TransformPoint((0.0, 0.0, 0.0))
    return matrix


def _view(volume: Volume, low: Points, high: Points) -> _View:
    """Sample a box of an image; its mask holds what lies in the field of view."""
    affine = np.diag([_WORKING_MM] * 3 + [1.0])
    affine[:3, 3] = low
    i, j, k = (int(n) for n in np.ceil((high - low) / _WORKING_MM) + 1)
    pixels = Volume(data=volume.data.astype(np.float32, copy=False), affine=volume.affine)
    sampled = resample_onto(pixels, Grid(shape=(i, j, k), affine=affine), order=1, outside=np.nan)
    seen = np.isfinite(sampled)
    return _View(image=_to_sitk(np.where(seen, sampled, 0), low), mask=_to_sitk(seen.astype(np.uint8), low))


def _near(view: _View, region: Mask, affine: Matrix, shell_mm: float) -> _View:
    """Restrict a view to a region and the shell around it.

    Raises:
        RegistrationError: When nothing of it lies in the field of view.
    """
    grid_affine = np.diag([_WORKING_MM] * 3 + [1.0])
    grid_affine[:3, 3] = view.image.GetOrigin()
    i, j, k = view.image.GetSize()
    shape = Volume(data=region.astype(np.float32), affine=affine.astype(np.float64))
    drawn = resample_onto(shape, Grid(shape=(i, j, k), affine=grid_affine), order=1).astype(np.float32) > 0.5
    seen = sitk.GetArrayViewFromImage(view.mask).transpose(2, 1, 0) > 0
    kept = (ndimage.distance_transform_edt(~drawn, sampling=_WORKING_MM) <= shell_mm) & seen if drawn.any() else drawn
    if not kept.any():
        msg = "the region covers no voxel of the image's field of view; expected it to overlap"
        raise RegistrationError(msg)
    return _View(image=view.image, mask=_to_sitk(kept.astype(np.uint8), np.array(view.image.GetOrigin())))


def _to_sitk(data: NDArray[np.generic], low: Points) -> sitk.Image:
    image = sitk.GetImageFromArray(np.ascontiguousarray(data.transpose(2, 1, 0)))
    image.SetSpacing([_WORKING_MM] * 3)
    image.SetOrigin(low.tolist())
    return image
