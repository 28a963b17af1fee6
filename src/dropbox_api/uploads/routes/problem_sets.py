"""The problems that several upload routes share."""

from dropbox_api import problems

OWN = (problems.Unauthenticated, problems.Forbidden, problems.InvalidRequest, problems.NotFound)
LIVE = (problems.UploadEnded, problems.UploadExpired, problems.UploadFailed)
