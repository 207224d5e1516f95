/** The frame of every page of ours. Needs no script, and its policy allows none. */

import { createHash } from 'node:crypto'

const style = `
:root { color-scheme: light dark; --line: #8884; --soft: #6a6f76; --link: #0a58a8; --row: #8881 }
@media (prefers-color-scheme: dark) { :root { --soft: #a3aab3; --link: #7db8f5 } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 70rem; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
a { color: var(--link) }
a:focus-visible { outline: 2px solid currentColor; outline-offset: 2px }
h1 { font-size: 1.25rem; font-weight: 600 }
nav ol { display: flex; flex-wrap: wrap; gap: .25rem; list-style: none; margin: 0; padding: 0 }
nav li + li::before { content: "/"; color: var(--soft); margin-right: .25rem }
table { border-collapse: collapse; width: 100% }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .5rem; text-align: left; vertical-align: top }
tbody tr:hover { background: var(--row) }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
.date { white-space: nowrap; font-variant-numeric: tabular-nums }
.name { unicode-bidi: isolate; white-space: pre-wrap }
.soft { color: var(--soft) }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem }
dt { color: var(--soft) }
dd { margin: 0 }
`

const styleHash = createHash('sha256').update(style).digest('base64')

/** Sent with every page of ours. */
export const pageHeaders: readonly string[] = [
  'Content-Type',
  'text/html; charset=utf-8',
  'X-Content-Type-Options',
  'nosniff',
  'Content-Security-Policy',
  `default-src 'none'; style-src 'sha256-${styleHash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  'Referrer-Policy',
  'no-referrer',
  'X-Robots-Tag',
  'noindex',
]

/** Everything from the first byte to where the content begins. `title` is plain text. */
export function pageStart(title: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${style}</style>
</head>
<body>
`
}

export const pageEnd = '</body>\n</html>\n'

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Text for element content and quoted attributes. Control characters are shown, not sent. */
export function escapeHtml(text: string): string {
  return text
    .replace(/[&<>"']/g, (each) => escapes[each] ?? each)
    .replace(/[\x00-\x1f\x7f]/g, (each) => String.fromCharCode(each === '\x7f' ? 0x2421 : 0x2400 + each.charCodeAt(0)))
}
