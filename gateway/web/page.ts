/** The frame of every page of ours. Needs no script, and its policy allows none. */

import { createHash } from 'node:crypto'
import { style } from './style.ts'

const styleHash = createHash('sha256').update(style).digest('base64')

/** Sent with every page of ours that has no form. */
export const pageHeaders: readonly string[] = headersWith('no-referrer')

/**
 * Sent with pages that have forms. Browsers send `Origin: null` with the forms of a page that tells nothing of itself,
 * and those that know no Sec-Fetch-Site could not be told from another page's then: so such a page tells its own site,
 * and no other. Not for an address that holds a credential.
 */
export const formPageHeaders: readonly string[] = headersWith('same-origin')

function headersWith(referrer: string): readonly string[] {
  return [
    'Content-Type',
    'text/html; charset=utf-8',
    'X-Content-Type-Options',
    'nosniff',
    'Content-Security-Policy',
    `default-src 'none'; style-src 'sha256-${styleHash}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'`,
    'Referrer-Policy',
    referrer,
    'X-Robots-Tag',
    'noindex',
  ]
}

/** Who is looking at the page; all values are plain text. */
export interface PageHeader {
  /** Whose link was opened: whoever looks is not known, and is nobody's account. */
  readonly link?: string
  /** The caller, and where a session can be ended. */
  readonly account?: { readonly name: string; readonly signOut?: string | undefined } | undefined
  /** Where somebody unknown can say who they are. */
  readonly signIn?: string | undefined
}

/** Everything from the first byte to where the content begins, which holds `<main id="content">`. `title` is plain text. */
export function pageStart(title: string, header: PageHeader = {}): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${style}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header><a class="home" href="/">Portolan</a>${accountArea(header)}</header>
`
}

export const pageEnd = '</body>\n</html>\n'

function accountArea({ account, link, signIn }: PageHeader): string {
  const items: string[] = []
  if (link !== undefined) items.push(`<li>By a link of <span class="name">${escapeHtml(link)}</span></li>`)
  if (account) items.push(`<li>Signed in as <span class="name">${escapeHtml(account.name)}</span></li>`)
  if (account?.signOut !== undefined) items.push(`<li><a href="${escapeHtml(account.signOut)}">Sign out</a></li>`)
  if (signIn !== undefined) items.push(`<li><a href="${escapeHtml(signIn)}">Sign in</a></li>`)
  return items.length === 0 ? '' : `<nav aria-label="Account"><ul>${items.join('')}</ul></nav>`
}

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
