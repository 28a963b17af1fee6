"""The upload and download engines. They work on files of this computer through one `Client`.

Upload: `walk` -> `upload` (many files) -> `upload_batch` (small) or `upload_file` (large) -> `pipeline` -> `parts`.
Download: `download_folder` -> `download` (one file) -> `partial_file` and `ranges`.
"""
