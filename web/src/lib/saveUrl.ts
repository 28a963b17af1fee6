/** Let the browser save what a URL of the store or of an archive answers. */
export function saveUrl(url: string): void {
  const link = document.createElement("a");
  link.href = url;
  link.rel = "noreferrer";
  document.body.append(link);
  link.click();
  link.remove();
}
