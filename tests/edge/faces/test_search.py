"""Search for faces in the whole picture and around known ones: when which, and what it finds."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")

from keras_ddl.edge.clipper import FaceClipper, FrameResult
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.faces import Face, FaceDetector, HaarDetector, YuNetDetector, yunet
from keras_ddl.edge.faces.search import SearchRule, find_near
from keras_ddl.edge.faces.track import unlikeness
from keras_ddl.edge.portraits.render import open_renderer
from keras_ddl.edge.video import Frame

SPEC = ClipSpec(size=32)
HALF_A_SECOND = SearchRule(full_every=12)
Square = tuple[int, int, int]  # left, top, side
WIDE, HIGH = 640, 360


class RedSquares:
    """Finds every saturated red square that is whole; notes what it was given."""

    name, smallest, region, cheap, worth = "red", 10.0, 80, 0, 0.5

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[int, ...], float | None]] = []

    def size(self, width: int, height: int, least: float | None = None) -> tuple[int, int]:
        return width, height

    def detect(self, image_rgb: np.ndarray, least: float | None = None) -> list[Face]:
        self.asked.append((image_rgb.shape[:2], least))
        mask = (image_rgb[..., 0] > 230) & (image_rgb[..., 1] < 20)
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
        return [Face(tuple(map(float, s[:4])), 1.0) for s in stats[1:] if s[2] == s[3]]  # type: ignore[arg-type]


def picture(squares: Iterable[Square], seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(20, 200, (6, 8, 3), np.uint8)
    image = cv2.resize(coarse, (WIDE, HIGH), interpolation=cv2.INTER_CUBIC)
    for left, top, side in squares:
        image[top : top + side, left : left + side] = (255, 0, 0)
    return image


def run(
    images: Iterable[np.ndarray],
    rule: SearchRule = HALF_A_SECOND,
    every: int = 3,
    period: float = 40.0,
    detector: FaceDetector | None = None,
) -> list[FrameResult]:
    clipper = FaceClipper(SPEC, detector or RedSquares(), every, search=rule)
    return [clipper.push(Frame(image, period * i, i)) for i, image in enumerate(images)]


def full(steps: Iterable[FrameResult]) -> list[int]:
    """The frames in which the whole picture was searched."""
    return [step.frame.index for step in steps if step.searched]


FACE, OTHER = (100, 80, 64), (400, 200, 70)


def test_while_nothing_changes_the_whole_picture_is_searched_ever_more_rarely() -> None:
    detector = RedSquares()
    steps = run([picture([FACE])] * 60, detector=detector)
    assert [step.frame.index for step in steps if step.detected] == list(range(0, 60, 3))
    assert full(steps) == [0, 3, 9, 21, 33, 45, 57]
    assert all([track.box for track in step.tracks] == [(100, 80, 64, 64)] for step in steps[3:])
    # The square around the face, 2.35 sides, to a multiple of 4: 13 times instead of the whole, and
    # in the last six full rounds beside it.
    assert [shape for shape, _ in detector.asked].count((HIGH, WIDE)) == 7
    assert [shape for shape, _ in detector.asked].count((152, 152)) == 19


@pytest.mark.parametrize(
    ("every", "full_every", "expected"),
    [
        (3, 1, [0, 3, 6, 9, 12, 15, 18, 21, 24, 27]),  # as training: always the whole
        (3, 5, [0, 3, 6, 9, 12, 15, 18, 21, 24, 27]),  # fewer frames than two rounds
        (3, 6, [0, 3, 9, 15, 21, 27]),
        (5, 12, [0, 5, 15, 25]),  # the second round after: the third comes after 15 frames
        (1, 12, [0, 1, 3, 7, 15, 27]),  # 1, 2, 4, 8, then 12
    ],
)
def test_full_search_every(every: int, full_every: int, expected: list[int]) -> None:
    steps = run([picture([FACE])] * 30, SearchRule(full_every), every)
    assert full(steps) == expected
    assert [i for i, step in enumerate(steps) if step.detected] == list(range(0, 30, every))


class Twice(RedSquares):
    """Finds each square of a whole picture twice, as a detector now and then does."""

    def detect(self, image_rgb: np.ndarray, least: float | None = None) -> list[Face]:
        found = super().detect(image_rgb, least)
        return found + [face.moved(4, 4) for face in found]


def test_a_face_that_is_found_twice_is_one_and_nobody_new() -> None:
    steps = run([picture([FACE])] * 60, detector=Twice())
    assert full(steps)[:4] == [0, 3, 9, 21]
    assert {len(step.tracks) for step in steps[6:]} == {1}


def test_the_default_of_the_clipper_is_that_of_training() -> None:
    detector = RedSquares()
    clipper = FaceClipper(SPEC, detector)
    for i in range(30):
        clipper.push(Frame(picture([FACE]), 40.0 * i, i))
    assert detector.asked == [((HIGH, WIDE), None)] * 10


def test_of_an_empty_picture_it_is_the_same() -> None:
    assert full(run([picture([])] * 40)) == [0, 3, 9, 21, 33]


@pytest.mark.parametrize("enters", range(21, 34))
def test_somebody_new_is_found_within_twelve_frames(enters: int) -> None:
    images = [picture([FACE])] * enters + [picture([FACE, OTHER])] * 40
    steps = run(images)
    seen = next(i for i in full(steps) if i >= enters)
    assert seen - enters <= 12
    first = next(i for i, step in enumerate(steps) if len(step.tracks) == 2)
    assert first == seen + 3  # the second detection confirms it
    assert seen + 3 in full(steps)  # in a picture in which something has changed


def test_a_lost_face_has_the_whole_picture_searched_in_the_same_frame() -> None:
    images = [picture([FACE, OTHER])] * 24 + [picture([OTHER])] * 40
    steps = run(images)
    assert full(steps)[3:] == [21, 24, 27, 30, 33, 36, 42, 54]  # until its track has ended, at 34
    assert [i for i, step in enumerate(steps) if step.ended] == [34]


def test_a_face_that_jumps_out_of_its_place_is_found_in_the_same_frame() -> None:
    images = [picture([FACE])] * 25 + [picture([OTHER])] * 10
    steps = run(images)
    assert full(steps)[3:] == [21, 27, 30, 33]
    assert [track.id for track in steps[30].tracks] == [1, 2]  # the old one is not yet given up


def test_a_cut_has_the_whole_picture_searched_at_once() -> None:
    images = [picture([FACE])] * 25 + [picture([OTHER], seed=1)] * 20
    assert full(run(images)) == [0, 3, 9, 21, 25, 28, 34]


def test_a_moving_face_is_followed_without_full_searches() -> None:
    images = [picture([(60 + 4 * i, 80 + i, 64)]) for i in range(60)]
    steps = run(images)
    assert full(steps) == [0, 3, 9, 21, 33, 45, 57]
    for i, step in enumerate(steps[12:], 12):
        assert abs(step.tracks[0].box[0] - (60 + 4 * i)) < 0.2 * 64


def test_a_slow_source_is_not_left_long_without_a_full_search() -> None:
    steps = run([picture([FACE])] * 30, period=250)
    times = [40.0 * 0] + [step.frame.time_ms for step in steps if step.searched]
    assert max(np.diff(times)) <= 2 * 12 * 40 + 250


def test_more_faces_than_pay_are_searched_in_the_whole_picture() -> None:
    squares = [(20 + 80 * i, 20 + 80 * k, 30) for i in range(7) for k in range(3)]
    assert full(run([picture(squares[:19])] * 30)) == list(range(0, 30, 3))
    steps = run([picture(squares[:18])] * 30)  # 18 squares of 80² pixels are half of the picture
    assert full(steps) == [0, 3, 9, 21] and len(steps[-1].tracks) == 18


def test_a_cheap_picture_is_always_searched_as_a_whole() -> None:
    detector = RedSquares()
    detector.cheap = WIDE * HIGH
    assert full(run([picture([FACE])] * 30, detector=detector)) == list(range(0, 30, 3))


def test_a_face_below_min_face_is_not_followed_and_one_that_shrinks_is() -> None:
    detector = RedSquares()
    both = picture([(40, 60, 59), (400, 150, 60)])
    steps = run([both] * 30, SearchRule(12, min_face=60.0), detector=detector)
    assert [track.box[2] for track in steps[-1].tracks] == [60.0]
    assert ((HIGH, WIDE), 60.0) in detector.asked and ((HIGH, WIDE), None) not in detector.asked
    shrinking = [picture([(400, 150, 70 - i)]) for i in range(30)]
    steps = run(shrinking, SearchRule(12, min_face=60.0))
    assert [track.id for track in steps[-1].tracks] == [1]
    assert SearchRule(min_face=60.0).sizes == " of 60 px or more" and SearchRule().sizes == ""


def test_the_same_frames_give_the_same_boxes_and_clips() -> None:
    images = [picture([(60 + 2 * i, 80 + i, 64), *([OTHER] * (i > 15))]) for i in range(45)]
    first, second = run(images), run(images)
    assert full(first) == full(second)
    for a, b in zip(first, second, strict=True):
        assert a.tracks == b.tracks
        assert [c.times_ms.tolist() for c in a.clips] == [c.times_ms.tolist() for c in b.clips]


@pytest.mark.parametrize(
    "place", [(100, 80, 64), (2, 3, 64), (570, 290, 64), (300, 100, 20), (250, 60, 240)]
)
def test_near_search_gives_the_box_in_the_picture(place: Square) -> None:
    """Also at the edges, for a face smaller than the square needs, and one much larger."""
    face = find_near(RedSquares(), picture([place]), (place[0] + 5, place[1] - 4, 60, 60))
    expected = (place[0], place[1], place[2], place[2])
    like = unlikeness((place[0] + 5, place[1] - 4, 60, 60), expected) is not None
    assert (face.box if face else None) == (expected if like else None)
    own = find_near(RedSquares(), picture([place]), expected)
    assert own is not None and own.box == expected


def test_near_search_takes_nobody_else() -> None:
    image = picture([OTHER])
    assert find_near(RedSquares(), image, (330.0, 200.0, 70.0, 70.0)) is None  # beside it
    assert find_near(RedSquares(), image, (420.0, 220.0, 30.0, 30.0)) is None  # of another size
    assert find_near(RedSquares(), image, (5000.0, 200.0, 70.0, 70.0)) is None  # outside


@pytest.mark.parametrize("arguments", [(0, 0.0), (12, -1.0), (12, float("inf"))])
def test_wrong_rules(arguments: tuple[int, float]) -> None:
    with pytest.raises(ValueError, match="SearchRule: expected"):
        SearchRule(*arguments)


@pytest.fixture(params=["haar", "yunet"])
def detector(request: pytest.FixtureRequest) -> FaceDetector:
    if request.param == "haar":
        request.getfixturevalue("haar")
        return HaarDetector()
    return YuNetDetector(request.getfixturevalue("shared_real") / yunet.FILE_NAME)


@pytest.fixture(scope="module")
def portraits() -> list[np.ndarray]:
    """Drawn people of 200 px in pictures of 640 × 480."""
    made = []
    for person in range(3):
        options = {"frames": 2, "fps": 25.0, "size": (WIDE, 480), "crf": (18, 18)}
        renderer, _ = open_renderer(7, person, 0, False, 0.0, **options)
        made.append(renderer.frame(1))
    return made


@pytest.mark.parametrize("factor", [2, 4])
def test_what_is_searched_smaller_comes_back_in_the_pictures_own_pixels(
    detector: FaceDetector, portraits: list[np.ndarray], factor: int
) -> None:
    """A picture enlarged to twice its size and searched as small as it was has the same faces."""
    for small in portraits:
        large = small.repeat(factor, 0).repeat(factor, 1)
        (face,) = detector.detect(small, detector.smallest)
        (same,) = detector.detect(large, factor * detector.smallest)
        assert np.array(same.box) / factor == pytest.approx(np.array(face.box), abs=1e-6)
        assert same.turn == face.turn and (same.points is None) == (face.points is None)
        if face.points:
            assert np.array(same.points) / factor == pytest.approx(np.array(face.points), abs=1e-6)


def apart(face: Face, other: Face) -> tuple[float, float]:
    """Return the distance of the centres and the difference of the sides, in sides."""
    (x, y, side, _), (x2, y2, side2, _) = face.box, other.box
    middle = np.hypot(x + side / 2 - x2 - side2 / 2, y + side / 2 - y2 - side2 / 2)
    return float(middle / side), abs(side2 / side - 1)


def test_scaled_and_near_search_give_nearly_the_box_of_the_full_one(
    detector: FaceDetector, portraits: list[np.ndarray]
) -> None:
    for image in portraits:
        (face,) = detector.detect(image)
        side = face.box[2]
        smaller = [detector.detect(image, side * share)[0] for share in (0.25, 0.5, 1.0)]
        x, y, _, _ = face.box
        near = find_near(detector, image, (x + 0.2 * side, y - 0.2 * side, 0.9 * side, 0.9 * side))
        assert near is not None
        for place, size in (apart(face, other) for other in (*smaller, near)):
            assert place < 0.07 and size < 0.15


def test_drawn_people_are_followed_alike(
    detector: FaceDetector, portraits: list[np.ndarray]
) -> None:
    """Two people who move through a large picture, searched in full and as on a device."""
    images = []
    for i in range(28):
        image = np.full((720, 1280, 3), 90, np.uint8)
        for person, (left, top) in enumerate(((10 + 2 * i, 40), (640 - 3 * i, 200 + i))):
            image[top : top + 480, left : left + 540] = portraits[person][:, 50:590]
        images.append(image)
    whole, device = (run(images, rule, detector=detector) for rule in (SearchRule(), HALF_A_SECOND))
    assert full(device) == [0, 3, 9, 21]
    pairs = [
        apart(Face(one.box, 1.0), Face(other.box, 1.0))
        for a, b in zip(whole[3:], device[3:], strict=True)
        for one, other in zip(a.tracks, b.tracks, strict=True)
    ]
    assert len(pairs) == 50
    places, sizes = np.array(pairs).T
    # Without what each full search takes off: 0.025 and 0.073 at most, 0.057 in the mean.
    most = {"yunet": (0.03, 0.02, 0.01), "haar": (0.03, 0.06, 0.025)}[detector.name]
    assert places.max() < most[0] and sizes.max() < most[1] and sizes.mean() < most[2]


def test_what_the_full_search_finds_otherwise_is_taken_off() -> None:
    """A detector whose small searches are wrong by a constant is right all the same."""

    class Biased(RedSquares):
        def detect(self, image_rgb: np.ndarray, least: float | None = None) -> list[Face]:
            faces = super().detect(image_rgb, least)
            if image_rgb.shape[:2] == (HIGH, WIDE):
                return faces
            x, y, side, _ = faces[0].box
            return [Face((x + 0.05 * side, y - 0.02 * side, 0.9 * side, 0.9 * side), 1.0)]

    steps = run([picture([FACE])] * 40, detector=Biased())
    assert full(steps) == [0, 3, 9, 21, 33]
    for step in steps[3:]:
        assert step.tracks[0].box == pytest.approx((100, 80, 64, 64), abs=1e-9)
        assert all(type(value) is float for value in step.tracks[0].box)
