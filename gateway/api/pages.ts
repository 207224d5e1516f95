/** Pages for people: what is here, and what the codes of problem documents mean. */

import type { FastifyReply } from 'fastify'
import { errorCodes } from '../core/errors.ts'
import { httpStatus, titles } from '../http/errors.ts'
import { apiPrefix, explainPage, problemsPage } from '../http/problem.ts'
import { whoamiPage } from '../http/sign-in-links.ts'
import { escapeHtml, pageEnd, pageHeaders, pageStart } from '../web/page.ts'

const links: ReadonlyArray<readonly [string, string]> = [
  ['/', 'The namespace'],
  [whoamiPage, 'Who the gateway takes you for, and why'],
  [explainPage, 'Why something is allowed, or refused'],
  [`${apiPrefix}/openapi.json`, 'The REST interface, described in OpenAPI'],
  [problemsPage, 'What the codes of errors mean'],
  [`${apiPrefix}/health`, 'Whether this process is alive'],
  [`${apiPrefix}/ready`, 'Whether it can serve'],
]

const index = `${pageStart('Portolan')}<main id="content">
<h1>Portolan</h1>
<p>One namespace over many storage systems.</p>
<ul>
${links.map(([href, text]) => `<li><a href="${escapeHtml(href)}">${escapeHtml(text)}</a></li>`).join('\n')}
</ul>
</main>
${pageEnd}`

const problems = `${pageStart('Problems')}<main id="content">
<h1>Problems</h1>
<p>The type of a problem document ends in one of these codes. The reason of a refusal is told by explain.</p>
<table>
<thead><tr><th scope="col">Code</th><th scope="col">Status</th><th scope="col">Meaning</th></tr></thead>
<tbody>
${errorCodes.map((code) => `<tr id="${code}"><td>${code}</td><td>${httpStatus[code]}</td><td>${escapeHtml(titles[code])}</td></tr>`).join('\n')}
</tbody>
</table>
</main>
${pageEnd}`

/** The page at /.portolan/. */
export function indexPage(reply: FastifyReply): FastifyReply {
  return sendPage(reply, index)
}

/** The page that problem types point to. */
export function problemList(reply: FastifyReply): FastifyReply {
  return sendPage(reply, problems)
}

function sendPage(reply: FastifyReply, page: string): FastifyReply {
  for (let at = 0; at + 1 < pageHeaders.length; at += 2) reply.header(pageHeaders[at] ?? '', pageHeaders[at + 1])
  return reply.send(page)
}
