"""Arguments of ffmpeg that the media tests share."""

PICTURE = ["-f", "lavfi", "-i", "testsrc=size=320x180:rate=25:duration=2"]
TONE = ["-f", "lavfi", "-i", "sine=frequency=220:sample_rate=44100:duration=2"]
H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]
