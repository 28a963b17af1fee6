/** Return the address of a link's page. */
export function addressOf({ url_path }: { url_path: string }): string {
  return location.origin + url_path;
}
