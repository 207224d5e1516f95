/** Pages for signing in and out. */

import { hidden } from './directory-forms.ts'
import { escapeHtml, type PageHeader, pageEnd, pageStart } from './page.ts'

export interface SignInPage {
  readonly header: PageHeader
  /** Where the form is sent. */
  readonly action: string
  /** Where one goes from here. */
  readonly to: string
  readonly token: string
  readonly issuers: ReadonlyArray<{ readonly label: string; readonly href: string }>
  readonly passwords: boolean
  /** What was wrong with the last try. */
  readonly problem?: string
  readonly user?: string
}

/** The page; all values are plain text. */
export function signInPage(page: SignInPage): string {
  const { issuers, passwords, problem, header } = page
  const wrong = problem === undefined ? '' : `<p class="bad" role="alert">${escapeHtml(problem)}</p>\n`
  const links = issuers.map(({ label, href }) => `<li><a href="${escapeHtml(href)}">${escapeHtml(label)}</a></li>`)
  const others = links.length === 0 ? '' : `<ul>\n${links.join('\n')}\n</ul>\n`
  const nothing =
    links.length === 0 && !passwords ? '<p>Nobody can sign in with a browser here. Programs send tokens.</p>\n' : ''
  return `${pageStart('Sign in', header)}<main id="content">
<h1>Sign in</h1>
${wrong}${others}${passwords ? passwordForm(page) : ''}${nothing}</main>
${pageEnd}`
}

function passwordForm({ action, to, token, user = '', issuers }: SignInPage): string {
  const heading = issuers.length === 0 ? '' : '<h2>With a password</h2>\n'
  return `${heading}<form method="post" action="${escapeHtml(action)}">${hidden('csrf', token)}${hidden('to', to)}
<p><label for="user">User name</label><br><input id="user" name="user" required maxlength="255" autocomplete="username" autocapitalize="none" spellcheck="false" value="${escapeHtml(user)}"></p>
<p><label for="password">Password</label><br><input id="password" name="password" type="password" required maxlength="1024" autocomplete="current-password"></p>
<p><button type="submit">Sign in</button></p>
</form>
`
}

export interface SignOutPage {
  readonly header: PageHeader
  readonly action: string
  readonly token: string
  /** Absent where there is no session to end. */
  readonly user?: string
  /** Where sessions and application passwords are. */
  readonly account: string
}

export function signOutPage({ header, action, token, user, account }: SignOutPage): string {
  const form =
    user === undefined
      ? '<p>You have no session here.</p>'
      : `<form method="post" action="${escapeHtml(action)}">${hidden('csrf', token)}
<p>You are signed in as <span class="name">${escapeHtml(user)}</span>.</p>
<p><button type="submit">Sign out</button></p>
</form>
<p><a href="${escapeHtml(account)}">Sessions and application passwords</a></p>`
  return `${pageStart('Sign out', header)}<main id="content">
<h1>Sign out</h1>
${form}
</main>
${pageEnd}`
}
