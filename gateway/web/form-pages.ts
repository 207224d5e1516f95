/** Pages that stand between a button and what it does, and pages that tell what became of it. */

import { hidden } from './directory-forms.ts'
import { escapeHtml, type PageHeader, pageEnd, pageStart } from './page.ts'
import type { Kind } from './words.ts'

/** What all of them need. */
export interface FormPage {
  readonly header: PageHeader
  /** The directory: its path, and its address with a final slash. */
  readonly path: string
  readonly href: string
}

/** One entry of the directory that something is to be done with. */
export interface Chosen extends FormPage {
  readonly token: string
  readonly name: string
  /** The name as the directory's page has it in its links. */
  readonly encoded: string
  readonly type: Kind
  /** The version of what is no directory, so that it is this one that goes. */
  readonly version?: string
}

const kinds: Readonly<Record<Kind, string>> = {
  file: 'the file',
  directory: 'the folder',
  symlink: 'the link, and not what it leads to:',
  other: 'the special file',
}

export function deletePage(chosen: Chosen): string {
  const { name, encoded, type, token, version } = chosen
  const all =
    type === 'directory'
      ? '<p><input id="all" type="checkbox" name="all" value="yes"> <label for="all">and everything in it</label></p>\n'
      : ''
  return page(
    chosen,
    `Delete ${name}?`,
    `<form method="post" action="${escapeHtml(chosen.href)}">${hidden('csrf', token)}${hidden('delete', encoded)}${hidden('confirmed', 'yes')}${version === undefined ? '' : hidden('version', version)}
<p>This deletes ${kinds[type]} <strong class="name">${escapeHtml(name)}</strong>. It cannot be taken back.</p>
${all}<p><button type="submit">Delete</button></p>
</form>`,
  )
}

export function renamePage(chosen: Chosen): string {
  const { name, encoded, token } = chosen
  return page(
    chosen,
    `Rename ${name}`,
    `<form method="post" action="${escapeHtml(chosen.href)}">${hidden('csrf', token)}${hidden('rename', encoded)}
<p><label for="to">New name of <span class="name">${escapeHtml(name)}</span></label> <input id="to" name="to" required maxlength="255" autocomplete="off" value="${escapeHtml(name)}"></p>
<p><button type="submit">Rename</button></p>
</form>`,
  )
}

/** What was not done, and why, in plain words. */
export interface Refused {
  readonly name: string
  readonly why: string
}

export interface Outcome extends FormPage {
  /** Names that were dealt with. */
  readonly done: readonly string[]
  readonly refused: readonly Refused[]
  /** "stored", "deleted". */
  readonly verb: string
  /** The rest was not looked at. */
  readonly more?: string
}

/** Names in a list. */
const shown = 200

/** Where not all went well. */
export function outcomePage(outcome: Outcome): string {
  const { done, refused, verb, more } = outcome
  const failures = listOf(
    refused,
    ({ name, why }) => `<span class="name">${escapeHtml(name)}</span>: ${escapeHtml(why)}`,
  )
  const successes = listOf(done, (name) => `<span class="name">${escapeHtml(name)}</span>`)
  const rest = more === undefined ? '' : `<p>${escapeHtml(more)}</p>\n`
  const bad = failures === '' ? '' : `<h2 class="bad">Not ${verb}</h2>\n${failures}`
  const good = successes === '' ? '' : `<h2 class="good">${capital(verb)}</h2>\n${successes}`
  return page(outcome, `Not everything was ${verb}`, `${bad}${good}${rest}`)
}

function listOf<T>(all: readonly T[], item: (one: T) => string): string {
  if (all.length === 0) return ''
  const items = all.slice(0, shown).map((one) => `<li>${item(one)}</li>`)
  if (all.length > shown) items.push(`<li class="soft">and ${all.length - shown} more</li>`)
  return `<ul>${items.join('')}</ul>\n`
}

function page({ header, path, href }: FormPage, title: string, content: string): string {
  return `${pageStart(title, header)}<main id="content">
<h1 class="name">${escapeHtml(title)}</h1>
${content}
<p><a href="${escapeHtml(href)}">Back to <span class="name">${escapeHtml(path)}</span></a></p>
</main>
${pageEnd}`
}

function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1)
}
