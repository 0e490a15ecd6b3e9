"""What a decoder may open: no network, and no playlist format that could make it read other files."""

PROTOCOLS = "file,pipe"
#: FFmpeg's demuxer names. HLS, ffconcat, DASH and image sequences are left out on purpose.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,wav,w64,flac,mp3,ogg,aac,aiff,caf,"
    "mpeg,mpegts,flv,asf,mpegvideo,h264,hevc,gif"
)
