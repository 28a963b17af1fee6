// Texts of the room activity.

export const activity = {
  "activity.title": "Activity",
  "activity.empty": "Nothing has happened yet",
  "activity.emptyHint": "Changes of your files, and of those shared with you, appear here.",
  "activity.filter": "Show",
  "activity.filter.all": "Everything",
  "activity.filter.file.created": "Added",
  "activity.filter.file.updated": "Changed",
  "activity.filter.file.renamed": "Renamed",
  "activity.filter.file.moved": "Moved",
  "activity.filter.file.trashed": "Moved to the trash",
  "activity.filter.file.restored": "Restored",
  "activity.filter.file.deleted": "Deleted for good",
  "activity.filter.share.granted": "Shared",
  "activity.today": "Today",
  "activity.yesterday": "Yesterday",
  "activity.you": "You",
  "activity.link": "A visitor of a link",
  "activity.server": "The server",
  "activity.unknown": "Another person",
  "activity.byToken": "{who} (token “{token}”)",
  "activity.gone": "a deleted item",
  "activity.itself": "“{name}”",
  "activity.where": "in {folder}",
  "activity.file.created": "{who} added {count, plural, one {{what}} other {# items}}",
  "activity.file.updated": "{who} changed {count, plural, one {{what}} other {# files}}",
  "activity.file.renamed": "{who} renamed {count, plural, one {an item to {what}} other {# items}}",
  "activity.file.moved": "{who} moved {count, plural, one {{what}} other {# items}}",
  "activity.file.trashed": "{who} moved {count, plural, one {{what}} other {# items}} to the trash",
  "activity.file.restored": "{who} restored {count, plural, one {{what}} other {# items}}",
  "activity.file.deleted": "{who} deleted {count, plural, one {{what}} other {# items}} for good",
  "activity.file.verified": "The content of {count, plural, one {{what}} other {# files}} was checked",
  "activity.file.quarantined":
    "{count, plural, one {{what} is} other {# files are}} in quarantine: the content is not what was announced",
  "activity.file.damaged":
    "{count, plural, one {{what} is} other {# files are}} damaged: the store changed or lost bytes",
  "activity.file.repaired": "{count, plural, one {{what} is} other {# files are}} repaired",
  "activity.file.processing": "{count, plural, one {{what} was} other {# files were}} processed",
  "activity.share.granted":
    "{who} shared {count, plural, one {{what}} other {# items}}{whom, select, none {} you { with you} other { with {whom}}}",
  "activity.share.changed":
    "{who} changed the access{whom, select, none {} you { that you have} other { of {whom}}} to {count, plural, one {{what}} other {# items}}",
  "activity.share.revoked":
    "{who} ended the access{whom, select, none {} you { that you had} other { of {whom}}} to {count, plural, one {{what}} other {# items}}",
} as const;
