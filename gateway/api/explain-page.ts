/** GET /.portolan/explain: the explanation for people. */

import type { JudgeStep } from '../../acl/identity/identity.ts'
import { actions } from '../../acl/needs.ts'
import { StorageError } from '../core/errors.ts'
import type { ExplainedStep } from '../core/storage.ts'
import type { Exchange } from '../http/exchange.ts'
import { headerOf } from '../http/page-header.ts'
import { explainPage as address, apiPrefix } from '../http/problem.ts'
import { parseQuery } from '../http/query.ts'
import { loginPage, signInHref } from '../http/sign-in-links.ts'
import { type ExplainPage, explainPage, type ShownCheck } from '../web/explain.ts'
import { explained, type Told } from './explain.ts'
import { actionOf, pathOf } from './parameters.ts'
import { sendPage } from './people-pages.ts'
import type { ApiHandler } from './routes.ts'

export const showExplain: ApiHandler = async (context, request, reply) => {
  const x = context.door.exchangeOf(request)
  const { path, action, user } = parseQuery(x.query, ['path', 'action', 'user'])
  const filled = { path: path ?? '', action: action ?? 'read' }
  const more = async (): Promise<Pick<ExplainPage, 'answer' | 'problem'>> => {
    if (path === undefined) return {}
    try {
      const asked = { path: pathOf(path), action: actionOf(action), user: user === '' ? undefined : user }
      return { answer: answerOf(x, await explained(context, request, asked)) }
    } catch (thrown) {
      const error = StorageError.from(thrown)
      if (error.code !== 'invalid' && error.code !== 'name-too-long') throw error
      return { problem: `${error.message}.` }
    }
  }
  if (path === undefined) await context.door.authenticate(request)
  const found = await more()
  const others = x.principal.administrator ? (user ?? '') : undefined
  const header = { ...headerOf(x), ...(x.principal.user === undefined && { signIn: comeBack(x) }) }
  const page = explainPage({ header, ...filled, actions, user: others, ...found })
  return sendPage(x, reply, page, { status: found.problem === undefined ? 200 : 400 })
}

function answerOf(x: Exchange, told: Told): NonNullable<ExplainPage['answer']> {
  const { principal, action, path, allowed, steps, advice, identity = [] } = told
  const who = principal.user ?? (principal.id === 'anonymous' ? 'A caller without a credential' : 'This caller')
  const may = allowed === true ? 'may' : allowed === false ? 'may not' : 'may or may not'
  const query = new URLSearchParams({ path, action })
  const asked = new URLSearchParams(x.query).get('user')
  if (asked) query.set('user', asked)
  return {
    summary: `${who} ${may} ${action} ${path}`,
    verdict: allowed,
    advice,
    groups: principal.groups,
    checks: steps.map((step) => checkOf(step, identity, path)),
    json: `${apiPrefix}/explain?${query}`,
    ...(x.principal.user === undefined && { signIn: comeBack(x) }),
  }
}

function checkOf(step: ExplainedStep, identity: readonly JudgeStep[], asked: string): ShownCheck {
  const { check, allowed, reason, directories = [], entry } = step
  const known = check === 'credential' ? identity.map(({ step: name, passed, text }) => ({ name, passed, text })) : []
  const way = directories.map((each) => ({ name: each.path, passed: each.allowed, text: each.reason.text }))
  return {
    check,
    verdict: allowed,
    text: reason.text,
    ...(reason.path !== undefined && reason.path !== asked && { path: reason.path }),
    ...(entry !== undefined && { path: entry.path, entry: entry.index + 1 }),
    parts: [...known, ...way],
  }
}

/** The sign-in page, from which one comes back to the same question. */
function comeBack(x: Exchange): string | undefined {
  if (signInHref(x) === undefined) return undefined
  return `${loginPage}?${new URLSearchParams({ to: x.query === '' ? address : `${address}?${x.query}` })}`
}
