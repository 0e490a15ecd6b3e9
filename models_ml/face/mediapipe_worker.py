"""Face Landmarker over one video, as JSON lines: `PYTHON mediapipe_worker.py MODEL.task VIDEO`.

Runs in an environment of its own (FACE_LANDMARKER_PYTHON) that has `mediapipe`, which brings OpenCV and the numpy that
it needs; it imports nothing of this repository. The first line is `{"mediapipe": version, "model": file}`, then one a
frame: `{"frame", "timestamp", "faces": [{"box": [x, y, w, h], "blendshapes": {name: score}}]}`, boxes in shares.
"""

import json
import os
import sys

MOST_FACES = 5


def main(model: str, video: str) -> int:
    import cv2
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=model),
        running_mode=vision.RunningMode.VIDEO,
        num_faces=MOST_FACES,
        output_face_blendshapes=True,
    )
    capture = cv2.VideoCapture(video)
    if not capture.isOpened():
        print("the video cannot be opened", file=sys.stderr)
        return 1
    rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
    print(json.dumps({"mediapipe": mediapipe.__version__, "model": os.path.basename(model)}))
    with vision.FaceLandmarker.create_from_options(options) as landmarker:
        number = 0
        while True:
            there, picture = capture.read()
            if not there:
                break
            number += 1
            seconds = (number - 1) / rate
            image = mediapipe.Image(
                image_format=mediapipe.ImageFormat.SRGB, data=cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
            )
            found = landmarker.detect_for_video(image, int(seconds * 1000))
            faces = []
            for landmarks, shapes in zip(found.face_landmarks, found.face_blendshapes):  # noqa: B905 - any Python 3
                xs, ys = [point.x for point in landmarks], [point.y for point in landmarks]
                faces.append(
                    {
                        "box": [round(v, 5) for v in (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))],
                        "blendshapes": {shape.category_name: round(shape.score, 4) for shape in shapes},
                    }
                )
            print(json.dumps({"frame": number, "timestamp": round(seconds, 3), "faces": faces}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
