/**
 * Let the browser save what a URL of the store or of an archive answers.
 *
 * While files are sent the browser asks before it follows a link to another origin, unless it opens a tab, which closes.
 */
export function saveUrl(url: string, target: "here" | "tab" = "here"): void {
  const link = document.createElement("a");
  link.href = url;
  link.rel = "noreferrer";
  link.download = "";
  if (target === "tab") link.target = "_blank";
  document.body.append(link);
  link.click();
  link.remove();
}
