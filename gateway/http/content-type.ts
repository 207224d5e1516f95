/** Media types by name, and the headers that keep a user's file from acting as the site. */

interface Kind {
  readonly type: string
  /** Browsers run what it holds, so it is only ever handed out as a download. */
  readonly active: boolean
}

const plain = 'text/plain; charset=utf-8'
const passive: Readonly<Record<string, string>> = {
  txt: plain,
  text: plain,
  log: plain,
  md: plain,
  yaml: plain,
  yml: plain,
  ini: plain,
  conf: plain,
  c: plain,
  h: plain,
  cc: plain,
  cpp: plain,
  py: plain,
  sh: plain,
  ts: plain,
  csv: 'text/csv; charset=utf-8',
  tsv: 'text/tab-separated-values; charset=utf-8',
  json: 'application/json',
  ndjson: 'application/x-ndjson',
  png: 'image/png',
  jpg: 'image/jpeg',
  jpeg: 'image/jpeg',
  gif: 'image/gif',
  webp: 'image/webp',
  avif: 'image/avif',
  bmp: 'image/bmp',
  tif: 'image/tiff',
  tiff: 'image/tiff',
  mp3: 'audio/mpeg',
  ogg: 'audio/ogg',
  wav: 'audio/wav',
  mp4: 'video/mp4',
  webm: 'video/webm',
  pdf: 'application/pdf',
  zip: 'application/zip',
  gz: 'application/gzip',
  tgz: 'application/gzip',
  bz2: 'application/x-bzip2',
  xz: 'application/x-xz',
  zst: 'application/zstd',
  tar: 'application/x-tar',
  h5: 'application/x-hdf5',
  hdf5: 'application/x-hdf5',
  nxs: 'application/x-hdf5',
  nc: 'application/x-netcdf',
  fits: 'application/fits',
  root: 'application/x-root',
}
const active: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  htm: 'text/html; charset=utf-8',
  xhtml: 'application/xhtml+xml',
  xht: 'application/xhtml+xml',
  svg: 'image/svg+xml',
  svgz: 'image/svg+xml',
  xml: 'application/xml',
  xsl: 'application/xml',
  xslt: 'application/xml',
  mathml: 'application/mathml+xml',
  mht: 'message/rfc822',
  mhtml: 'message/rfc822',
  js: 'text/javascript; charset=utf-8',
  mjs: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  swf: 'application/x-shockwave-flash',
}

const unknown: Kind = { type: 'application/octet-stream', active: false }
const kinds: ReadonlyMap<string, Kind> = new Map([
  ...Object.entries(passive).map(([name, type]): [string, Kind] => [name, { type, active: false }]),
  ...Object.entries(active).map(([name, type]): [string, Kind] => [name, { type, active: true }]),
])
const longestExtension = 6

/** By the extension alone, never by looking at bytes. What is not in the table is a row of octets. */
export function kindOf(name: string): Kind {
  const dot = name.lastIndexOf('.')
  if (dot < 0 || name.length - dot - 1 > longestExtension) return unknown
  return kinds.get(name.slice(dot + 1).toLowerCase()) ?? unknown
}

/**
 * Sent with every byte that a user wrote. The sandbox (no scripts, an origin of its own) and the
 * refusal to guess types make active content harmless where a browser shows it in spite of all.
 */
export const contentGuards: readonly string[] = [
  'X-Content-Type-Options',
  'nosniff',
  'Content-Security-Policy',
  "sandbox; default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'",
]

/** The same, and what keeps other sites from showing it, or from learning where it came from. */
export const guardHeaders: readonly string[] = [
  ...contentGuards,
  'Cross-Origin-Resource-Policy',
  'same-origin',
  'Referrer-Policy',
  'no-referrer',
]
