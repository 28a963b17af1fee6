"""Content types: as uploaders declare them, guessed from names, and those that a browser may show.

A browser gets a rebuilt type, never the declared one, so that no spelling of a declared type reaches it.
Source: RFC 9110 section 8.3.1; the WHATWG's MIME Sniffing and Fetch standards ("extract a MIME type"); IANA's registry
of media types.
"""

import re
from collections.abc import Mapping

UNKNOWN = "application/octet-stream"

_EXTENSIONS = """
application/epub+zip epub
application/gzip gz tgz
application/java-archive jar
application/json json map
application/manifest+json webmanifest
application/msword doc dot
application/pdf pdf
application/postscript ai eps ps
application/rtf rtf
application/sql sql
application/toml toml
application/vnd.android.package-archive apk
application/vnd.apple.mpegurl m3u8
application/vnd.ms-excel xls xlt
application/vnd.ms-outlook msg
application/vnd.ms-powerpoint pot pps ppt
application/vnd.oasis.opendocument.graphics odg
application/vnd.oasis.opendocument.presentation odp
application/vnd.oasis.opendocument.spreadsheet ods
application/vnd.oasis.opendocument.text odt
application/vnd.openxmlformats-officedocument.presentationml.presentation pptx
application/vnd.openxmlformats-officedocument.presentationml.slideshow ppsx
application/vnd.openxmlformats-officedocument.spreadsheetml.sheet xlsx
application/vnd.openxmlformats-officedocument.wordprocessingml.document docx
application/vnd.openxmlformats-officedocument.wordprocessingml.template dotx
application/vnd.rar rar
application/vnd.sqlite3 db sqlite sqlite3
application/wasm wasm
application/x-7z-compressed 7z
application/x-apple-diskimage dmg
application/x-bzip2 bz2 tbz2
application/x-iso9660-image iso
application/x-ndjson jsonl ndjson
application/x-pkcs12 p12 pfx
application/x-sh bash sh zsh
application/x-tar tar
application/x-tex tex
application/x-xz txz xz
application/xhtml+xml xhtml
application/xml xml xsd xsl
application/yaml yaml yml
application/zip zip
application/zstd zst
audio/aac aac
audio/flac flac
audio/midi mid midi
audio/mp4 m4a m4b
audio/mpeg mp3
audio/ogg oga ogg opus
audio/wav wav
audio/x-aiff aif aiff
audio/x-ms-wma wma
font/collection ttc
font/otf otf
font/ttf ttf
font/woff woff
font/woff2 woff2
image/apng apng
image/avif avif
image/bmp bmp
image/gif gif
image/heic heic
image/heif heif
image/jp2 jp2
image/jpeg jpe jpeg jpg
image/jxl jxl
image/png png
image/svg+xml svg svgz
image/tiff tif tiff
image/vnd.adobe.photoshop psd
image/vnd.microsoft.icon ico
image/webp webp
image/x-adobe-dng dng
image/x-canon-cr2 cr2
image/x-nikon-nef nef
image/x-sony-arw arw
message/rfc822 eml mht mhtml
model/gltf+json gltf
model/gltf-binary glb
model/obj obj
model/stl stl
text/calendar ics
text/css css
text/csv csv
text/html htm html
text/javascript cjs js mjs
text/markdown markdown md
text/plain asc bat c cc cfg conf cpp cs diff go h hpp ini java kt log lua patch
text/plain php pl py r rb rs rst srt swift text ts tsx txt
text/tab-separated-values tsv
text/vcard vcf
text/vtt vtt
video/3gpp 3gp
video/mp4 m4v mp4
video/mpeg mpeg mpg
video/ogg ogv
video/quicktime mov
video/webm webm
video/x-matroska mkv
video/x-ms-wmv wmv
video/x-msvideo avi
"""
"""Source code without a registered type is text. The table of the operating system differs between machines."""
_TYPES = {extension: line.split()[0] for line in _EXTENSIONS.split("\n") if line for extension in line.split()[1:]}

_SHOWN = frozenset(
    {
        "application/pdf",
        "audio/aac",
        "audio/flac",
        "audio/mp4",
        "audio/mpeg",
        "audio/ogg",
        "audio/wav",
        "image/avif",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/webp",
        "video/mp4",
        "video/quicktime",
        "video/webm",
    }
)
"""Types that a browser shows without running scripts, so neither HTML nor SVG."""

_SYNONYMS = {
    "audio/vnd.wave": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/x-aac": "audio/aac",
    "audio/x-flac": "audio/flac",
    "audio/x-m4a": "audio/mp4",
    "audio/x-wav": "audio/wav",
    "image/jpg": "image/jpeg",
}
"""Other names under which operating systems and browsers declare shown types."""

_TEXT = re.compile(
    r"text/(?!html$|xml$).+"
    r"|application/(.+\+json|(x-)?javascript|json|sql|toml|x-ndjson|x-sh|x-tex|x-yaml|yaml)"
)
"""Types that are text for people. Browsers get all of them as `text/plain`, which they neither run nor apply. Markup
that can run script stays out: a person who opens it expects the page, not its source."""

FILE_GROUPS: Mapping[str, str] = {
    "image": "^image/",
    "video": "^video/",
    "audio": "^audio/",
    "document": (
        "^(text/|application/(pdf|rtf|msword|epub|vnd[.](ms-|openxmlformats-officedocument|oasis[.]opendocument)))"
    ),
    "archive": "^application/(zip|gzip|zstd|vnd[.]rar|java-archive|x-(zip|gzip|tar|gtar|7z|rar|bzip|xz|lzma|zstd))",
}
"""Patterns of content types, for Python and Postgres, in any case; the first that matches names the group."""

_WORD = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_PARAMETER = rf"[ \t]*;(?:[ \t]*{_WORD}=(?:{_WORD}|\"[ !#-\[\]-~]*\"))?"
_CONTENT_TYPE = re.compile(rf"[ \t]*({_WORD}/{_WORD})((?:{_PARAMETER})*)[ \t]*")
_CHARSET = re.compile(r";[ \t]*charset=\"?([A-Za-z0-9._:+-]+)", re.IGNORECASE)


def guess_content_type(name: str) -> str:
    """Return the type that the extension of a name stands for, on every machine the same; `UNKNOWN` without one."""
    stem, _, extension = name.rpartition(".")
    return _TYPES.get(extension.lower(), UNKNOWN) if stem else UNKNOWN


def find_shown_type(content_type: str, *, is_utf8: bool | None = None) -> str | None:
    """Return the type that makes a browser show content of a declared type; None where the browser must save it.

    Text without a declared charset is sent as UTF-8, unless `is_utf8` is known to be False: then the browser guesses.
    """
    declared = _CONTENT_TYPE.fullmatch(content_type)
    essence = declared[1].lower() if declared else ""
    essence = _SYNONYMS.get(essence, essence)
    if essence in _SHOWN:
        return essence
    if declared is None or not _TEXT.fullmatch(essence):
        return None
    charset = _CHARSET.search(declared[2])
    if charset:
        return f"text/plain; charset={charset[1].lower()}"
    return "text/plain" if is_utf8 is False else "text/plain; charset=utf-8"
