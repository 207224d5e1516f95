/** Content-Disposition (RFC 6266, with RFC 8187 for names beyond ASCII). */

/** `attachment` under a name that no browser takes for a path or a header of its own. */
export function attachment(name: string): string {
  const safe = name.replace(/[\x00-\x1f\x7f/\\]/g, '_')
  const ascii = safe.replace(/[^\x20-\x7e]/g, '_').replace(/["%]/g, '_')
  if (ascii === safe) return `attachment; filename="${ascii}"`
  return `attachment; filename="${ascii}"; filename*=UTF-8''${extended(safe)}`
}

/** Percent-encodes everything but attr-char (RFC 8187, section 3.2.1). */
function extended(text: string): string {
  return encodeURIComponent(text).replace(/['()*]/g, (each) => `%${each.charCodeAt(0).toString(16).toUpperCase()}`)
}

/** Whether the query asks for a download: `?download` or `?disposition=attachment`. */
export function asksForDownload(query: string): boolean {
  if (query === '') return false
  const parameters = new URLSearchParams(query)
  return parameters.has('download') || parameters.get('disposition') === 'attachment'
}
