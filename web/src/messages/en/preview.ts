// Texts of previews.

export const preview = {
  "preview.title": "Preview of {name}",
  "preview.close": "Close",
  "preview.previous": "Previous file",
  "preview.next": "Next file",
  "preview.download": "Download",
  "preview.none": "No preview",
  "preview.noneText": "Files of this type cannot be shown here. Download the file to open it.",
  "preview.imageBroken": "This browser cannot show the image. Download it to open it in another program.",
  "preview.notPlayable": "This browser cannot play the file. Download it to open it in another program.",
  "preview.pdfBroken": "The document cannot be shown. Download it to open it in another program.",
  "preview.part": "The file is longer: these are its first {size}.",
  "preview.empty": "Empty file",
  "preview.emptyText": "It contains nothing to show.",
  "preview.page": "Page {number} of {count}",
} as const;
