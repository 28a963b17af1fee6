"""Pictures of content: a confined subprocess decodes one file and answers two WebP images (ADR 0026).

`kinds` tells by magic bytes what a file is, `subprocess` starts one subprocess per file, `__main__` is that process. It
confines itself (`confinement`) before it reads a byte of the file, which `images`, `documents` and `videos` decode.
"""
