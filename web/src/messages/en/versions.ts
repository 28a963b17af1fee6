// Texts of the room versions.

export const versions = {
  "versions.title": "Versions of “{name}”",
  "versions.hint":
    "A new version replaces the content, and the older ones stay here. Kept versions stay as long as the file.",
  "versions.current": "Current",
  "versions.kept": "Kept",
  "versions.by": "{who} · {size}",
  "versions.restore": "Restore",
  "versions.restoreOf": "Restore the version of {when}",
  "versions.restored": "The version of {when} is current again",
  "versions.actions": "Actions for the version of {when}",
  "versions.download": "Download",
  "versions.keep": "Keep for good",
  "versions.unkeep": "No longer keep",
  "versions.keptNow": "The version stays as long as the file",
  "versions.unkeptNow": "The version is deleted when it is old enough",
  "versions.quarantined": "Quarantined",
  "versions.damaged": "Damaged",
  "versions.folder": "A folder has no versions",
  "versions.folderHint": "Open the versions of a file in it.",
} as const;
