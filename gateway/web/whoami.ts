/** The page of what the gateway takes its reader for, and how it came to that. */

import { escapeHtml, type PageHeader, pageEnd, pageStart } from './page.ts'

export interface WhoamiPage {
  readonly header: PageHeader
  readonly id: string
  readonly user: string | undefined
  readonly groups: readonly string[]
  /** In their order. */
  readonly steps: ReadonlyArray<{ readonly step: string; readonly passed: boolean; readonly text: string }>
}

/** Groups that are shown one by one. */
const mostShown = 100

/** The page; all values are plain text. */
export function whoamiPage({ header, id, user, groups, steps }: WhoamiPage): string {
  const shown = groups.slice(0, mostShown).map((group) => `<span class="name">${escapeHtml(group)}</span>`)
  const more = groups.length > mostShown ? ` and ${groups.length - mostShown} more` : ''
  return `${pageStart('Who you are here', header)}<main id="content">
<h1>Who you are here</h1>
<dl>
<dt>User</dt><dd>${user === undefined ? 'nobody: only what is open to everyone is there for you' : `<span class="name">${escapeHtml(user)}</span>`}</dd>
<dt>Groups</dt><dd>${shown.length === 0 ? 'none' : shown.join(', ') + more}</dd>
<dt>In the audit log</dt><dd><code>${escapeHtml(id)}</code></dd>
</dl>
${stepTable(steps)}</main>
${pageEnd}`
}

function stepTable(steps: WhoamiPage['steps']): string {
  if (steps.length === 0) return ''
  const rows = steps.map(({ step, passed, text }) => {
    const mark = passed ? '<span class="good">yes</span>' : '<strong class="bad">no</strong>'
    return `<tr><th scope="row">${escapeHtml(step)}</th><td>${mark}</td><td class="name">${escapeHtml(text)}</td></tr>`
  })
  return `<h2>How that came</h2>
<table>
<thead><tr><th scope="col">Step</th><th scope="col">Passed</th><th scope="col">What was found</th></tr></thead>
<tbody>
${rows.join('\n')}
</tbody>
</table>
`
}
