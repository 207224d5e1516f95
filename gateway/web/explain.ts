/** The page that tells why something is allowed or refused, step by step. */

import { escapeHtml, type PageHeader, pageEnd, pageStart } from './page.ts'

/** How a check went; all texts are plain. */
export interface ShownCheck {
  readonly check: string
  readonly verdict: boolean | 'not reached' | 'decided elsewhere'
  readonly text: string
  /** What it was about, where that is not the path asked for. */
  readonly path?: string | undefined
  /** Of the entry that decided, counted from 1. */
  readonly entry?: number | undefined
  /** What it was made of, in its order. */
  readonly parts: ReadonlyArray<{ readonly name: string; readonly passed: boolean; readonly text: string }>
}

export interface ExplainPage {
  readonly header: PageHeader
  readonly action: string
  readonly path: string
  /** What can be chosen from. */
  readonly actions: readonly string[]
  /** Another user to ask about; undefined for whom that is not open. */
  readonly user: string | undefined
  readonly problem?: string | undefined
  readonly answer?:
    | {
        /** "bob@desy.de may not read /data/f". */
        readonly summary: string
        readonly verdict: boolean | 'unknown'
        readonly advice?: string | undefined
        readonly groups: readonly string[]
        readonly checks: readonly ShownCheck[]
        /** The same for programs. */
        readonly json: string
        /** Where one signs in to learn more. */
        readonly signIn?: string | undefined
      }
    | undefined
}

/** Groups that are shown one by one. */
const mostGroups = 100

/** The page; all values are plain text. */
export function explainPage(page: ExplainPage): string {
  const { header, problem, answer } = page
  const wrong = problem === undefined ? '' : `<p class="bad" role="alert">${escapeHtml(problem)}</p>\n`
  return `${pageStart('Why?', header)}<main id="content">
<h1>Why something is allowed, or refused</h1>
${wrong}${answer ? answered(answer) : ''}${form(page)}</main>
${pageEnd}`
}

function answered(answer: NonNullable<ExplainPage['answer']>): string {
  const { summary, verdict, advice, groups, checks, json, signIn } = answer
  const tone = verdict === true ? 'good' : verdict === false ? 'bad' : 'soft'
  const todo = advice === undefined ? '' : `<p class="note">${escapeHtml(advice)}</p>\n`
  const links = [
    signIn === undefined ? '' : `<a href="${escapeHtml(signIn)}">Sign in</a>`,
    `<a href="${escapeHtml(json)}">The same for programs</a>`,
  ].filter((link) => link !== '')
  return `<section>
<h2 class="name ${tone}" role="status">${escapeHtml(summary)}</h2>
${todo}${groupList(groups)}<ol class="checks">
${checks.map(checkItem).join('\n')}
</ol>
<ul class="next"><li>${links.join('</li><li>')}</li></ul>
</section>
`
}

function groupList(groups: readonly string[]): string {
  if (groups.length === 0) return ''
  const shown = groups.slice(0, mostGroups).map((group) => `<span class="name">${escapeHtml(group)}</span>`)
  const more = groups.length > mostGroups ? ` and ${groups.length - mostGroups} more` : ''
  return `<p class="soft">In the groups ${shown.join(', ')}${more}.</p>\n`
}

const words: Readonly<Record<string, string>> = {
  credential: 'Credential',
  scope: 'What the credential is bounded to',
  mount: 'The part of the namespace',
  traverse: 'The way there',
  acl: 'The ACL',
  'back end': 'The storage',
}

function checkItem({ check, verdict, text, path, entry, parts }: ShownCheck): string {
  const name = Object.hasOwn(words, check) ? words[check] : check
  const place =
    path === undefined
      ? ''
      : ` <span class="name">(${escapeHtml(path)}${entry === undefined ? '' : `, entry ${entry}`})</span>`
  const items = parts.map(
    (part) =>
      `<li><span class="name">${escapeHtml(part.name)}</span>: ${mark(part.passed)} <span class="name">${escapeHtml(part.text)}</span></li>`,
  )
  const list = items.length === 0 ? '' : `<ul>${items.join('')}</ul>`
  return `<li><strong>${escapeHtml(name ?? check)}</strong>: ${mark(verdict)} <span class="name">${escapeHtml(text)}</span>${place}${list}</li>`
}

function mark(verdict: ShownCheck['verdict']): string {
  if (verdict === true) return '<span class="good">yes.</span>'
  if (verdict === false) return '<strong class="bad">no.</strong>'
  return `<span class="soft">${escapeHtml(verdict)}.</span>`
}

function form({ path, action, actions, user }: ExplainPage): string {
  const options = actions.map(
    (each) => `<option${each === action ? ' selected="selected"' : ''}>${escapeHtml(each)}</option>`,
  )
  const other =
    user === undefined
      ? ''
      : `<p><label for="user">For the user (yourself, if empty)</label><br><input id="user" name="user" maxlength="255" autocomplete="off" autocapitalize="none" spellcheck="false" value="${escapeHtml(user)}"></p>\n`
  return `<h2>Ask</h2>
<form method="get" action="explain">
<p><label for="action">May I</label><br><select id="action" name="action">${options.join('')}</select></p>
<p><label for="path">this path</label><br><input id="path" name="path" required maxlength="4096" size="50" autocomplete="off" autocapitalize="none" spellcheck="false" value="${escapeHtml(path)}"></p>
${other}<p><button type="submit">Explain</button></p>
</form>
`
}
