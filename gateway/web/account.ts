/** The page of somebody's sessions and application passwords. */

import { hidden } from './directory-forms.ts'
import { type LinkSection, linkSection } from './link.ts'
import { escapeHtml, type PageHeader, pageEnd, pageStart } from './page.ts'

/** Times are ISO 8601. */
export interface ShownSession {
  readonly id: string
  readonly agent: string
  readonly from: string
  readonly created: string
  readonly used: string
  readonly expires: string
  readonly current: boolean
}

export interface ShownPassword {
  readonly id: string
  readonly name: string
  readonly path: string
  /** What it allows, in a word. */
  readonly allows: string
  readonly networks: readonly string[]
  readonly used: string | undefined
  readonly expires: string
}

export interface AccountPage {
  readonly header: PageHeader
  readonly action: string
  readonly token: string
  readonly user: string
  readonly sessions: readonly ShownSession[]
  readonly passwords: readonly ShownPassword[]
  readonly links: Pick<LinkSection, 'links' | 'ways'>
  /** Whether further passwords can be made with this credential. */
  readonly mayMake: boolean
  /** One that was just made: shown now and never again. */
  readonly made?: { readonly name: string; readonly password: string; readonly expires: string } | undefined
  readonly problem?: string | undefined
}

/** The page; all values are plain text. */
export function accountPage(page: AccountPage): string {
  const { user, header, problem, made } = page
  const wrong = problem === undefined ? '' : `<p class="bad" role="alert">${escapeHtml(problem)}</p>\n`
  return `${pageStart('Account', header)}<main id="content">
<h1>Account <span class="name">${escapeHtml(user)}</span></h1>
<p><a href="/.portolan/whoami">Who you are here, and why</a></p>
${wrong}${made ? madePassword(made, user) : ''}${sessionTable(page)}${passwordTable(page)}${linkSection({ ...page, ...page.links })}${page.mayMake ? makeForm(page) : ''}</main>
${pageEnd}`
}

function madePassword({ name, password, expires }: NonNullable<AccountPage['made']>, user: string): string {
  return `<section role="status">
<h2 class="good">Application password made</h2>
<p>Copy it now: it is not shown again.</p>
<dl>
<dt>Name</dt><dd class="name">${escapeHtml(name)}</dd>
<dt>User name</dt><dd><code>${escapeHtml(user)}</code></dd>
<dt>Password</dt><dd><code>${escapeHtml(password)}</code></dd>
<dt>Good until</dt><dd>${time(expires)}</dd>
</dl>
</section>
`
}

function sessionTable({ sessions, action, token }: AccountPage): string {
  const rows = sessions.map(
    ({ id, agent, from, created, used, expires, current }) =>
      `<tr><th scope="row">${escapeHtml(agent === '' ? 'Unknown' : agent)}${current ? ' <strong>(this one)</strong>' : ''}</th><td data-of="From">${escapeHtml(from)}</td><td data-of="Begun" class="date">${time(created)}</td><td data-of="Used" class="date">${time(used)}</td><td data-of="Ends" class="date">${time(expires)}</td><td>${button(action, { csrf: token, end: id }, 'Sign out', `Sign out the session from ${from}`)}</td></tr>`,
  )
  if (rows.length === 0) return '<h2>Sessions</h2>\n<p>There are none.</p>\n'
  return `<h2>Sessions</h2>
<table>
<thead><tr><th scope="col">Browser</th><th scope="col">From</th><th scope="col">Begun (UTC)</th><th scope="col">Used</th><th scope="col">Ends</th><th scope="col"><span class="hidden">Sign out</span></th></tr></thead>
<tbody>
${rows.join('\n')}
</tbody>
</table>
`
}

function passwordTable({ passwords, action, token }: AccountPage): string {
  const rows = passwords.map(
    ({ id, name, path, allows, networks, used, expires }) =>
      `<tr><th scope="row" class="name">${escapeHtml(name)}</th><td data-of="Path" class="name">${escapeHtml(path)}</td><td data-of="Allows">${escapeHtml([allows, ...networks].join(', '))}</td><td data-of="Used" class="date">${used === undefined ? 'never' : time(used)}</td><td data-of="Ends" class="date">${time(expires)}</td><td>${button(action, { csrf: token, revoke: id }, 'Revoke', `Revoke ${name}`)}</td></tr>`,
  )
  if (rows.length === 0) return '<h2>Application passwords</h2>\n<p>There are none.</p>\n'
  return `<h2>Application passwords</h2>
<table>
<thead><tr><th scope="col">Name</th><th scope="col">Path</th><th scope="col">Allows</th><th scope="col">Used (UTC)</th><th scope="col">Ends</th><th scope="col"><span class="hidden">Revoke</span></th></tr></thead>
<tbody>
${rows.join('\n')}
</tbody>
</table>
`
}

function makeForm({ action, token }: AccountPage): string {
  return `<h2>Make an application password</h2>
<p>For one program that takes a user name and a password, such as a file manager or rclone.</p>
<form method="post" action="${escapeHtml(action)}">${hidden('csrf', token)}
<p><label for="name">Name</label><br><input id="name" name="name" required maxlength="100" autocomplete="off"></p>
<p><label for="path">For this directory and what lies below</label><br><input id="path" name="path" value="/" required maxlength="4096" autocomplete="off" spellcheck="false"></p>
<p><input id="read" type="checkbox" name="read" value="yes"> <label for="read">only to read</label></p>
<p><label for="days">Days that it is good for</label><br><input id="days" name="days" type="number" min="1" max="366" value="90" required></p>
<p><button type="submit">Make</button></p>
</form>
`
}

function button(action: string, fields: Readonly<Record<string, string>>, text: string, label: string): string {
  const inputs = Object.entries(fields).map(([name, value]) => hidden(name, value))
  return `<form method="post" action="${escapeHtml(action)}">${inputs.join('')}<button type="submit" aria-label="${escapeHtml(label)}">${escapeHtml(text)}</button></form>`
}

function time(iso: string): string {
  return `<time datetime="${escapeHtml(iso)}">${escapeHtml(`${iso.slice(0, 10)} ${iso.slice(11, 16)}`)}</time>`
}
