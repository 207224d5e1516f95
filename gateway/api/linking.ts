/**
 * Linking an identity of an issuer to one's account with a browser: from the page of the account to the issuer and back,
 * and then a page that names both and asks. Everything on this way is bound to the session that it began in.
 */

import { randomBytes } from 'node:crypto'
import type { FastifyReply } from 'fastify'
import type { ProvenIdentity } from '../../acl/identity/identity.ts'
import { StorageError } from '../core/errors.ts'
import { root } from '../core/path.ts'
import { formToken, requireFormToken, requireOwnPage } from '../http/csrf.ts'
import { audited } from '../http/derived.ts'
import { httpStatus } from '../http/errors.ts'
import type { Exchange } from '../http/exchange.ts'
import { headerOf } from '../http/page-header.ts'
import { parseQuery } from '../http/query.ts'
import { dropCookie, openCookie, sealCookie } from '../http/sealed-cookie.ts'
import { requirePrivacy } from '../http/serve.ts'
import { accountPage, linkPage as address } from '../http/sign-in-links.ts'
import { linkPage, notLinkedPage } from '../web/link.ts'
import { readForm } from './form-body.ts'
import { linksOf, toldOf } from './links.ts'
import { callbackOf, dropPending, keepPending, type Pending } from './pending.ts'
import { sendPage, sendTo } from './people-pages.ts'
import type { ApiContext, ApiHandler } from './routes.ts'
import { requireCaller } from './shares.ts'

const proofCookie = 'portolan-proof'
/** Seconds for looking at the page that asks. */
const patience = 600

interface Proof {
  /** Known to the page that asks: its button is for what it shows, whatever was proven in another tab since. */
  readonly id: string
  readonly proven: ProvenIdentity
  readonly session: string
}

/** With `issuer` the way to that one; without, the page that asks, for who comes back from there. */
export const showLinking: ApiHandler = async (context, request, reply) => {
  const x = await context.door.authenticate(request)
  const { issuer } = parseQuery(x.query, ['issuer'])
  requireCaller(x)
  requirePrivacy(x)
  if (issuer === undefined) return ask(x, reply)
  const link = sessionOf(x)
  return orTell(x, reply, async () => {
    const { url, pending } = await linksOf(context).start(x.principal, issuer, callbackOf(context, issuer))
    await sendTo(x, reply, url.href, ['Set-Cookie', keepPending(x, { pending, to: accountPage, link })])
  })
}

/** Back from the issuer. The caller has seen to it that it is the one that was asked. */
export async function finishLinking(
  context: ApiContext,
  x: Exchange,
  reply: FastifyReply,
  { pending, link, answer }: Pending & { readonly answer: URL },
): Promise<void> {
  const session = sessionOf(x)
  if (session !== link) throw strange()
  await orTell(x, reply, async () => {
    const work = () => linksOf(context).prove(x.principal, pending, answer)
    const tell = ({ issuer, subject }: ProvenIdentity) =>
      `${JSON.stringify(`${issuer}|${subject}`)} was shown, to be linked`
    const proven = await audited(x, 'link', root, work, tell, `issuer ${pending.issuer}`)
    const proof: Proof = { id: randomBytes(12).toString('hex'), proven, session }
    const cookie = sealCookie(x, proofCookie, proof, patience)
    await sendTo(x, reply, address, ['Set-Cookie', dropPending(x), 'Set-Cookie', cookie])
  })
}

/** The button of the page that asks. */
export const confirmLinking: ApiHandler = async (context, request, reply) => {
  const x = await context.door.authenticate(request)
  const names = ['csrf', 'proof', 'note'] as const
  const { csrf, proof: shown, note = '' } = readForm(request.headers['content-type'], request.body, names)
  requireCaller(x)
  requireOwnPage(x)
  requireFormToken(x, csrf)
  const proof = proofOf(x)
  if (proof === undefined || shown !== proof.id) throw strange()
  return orTell(x, reply, async () => {
    const { issuer, subject } = proof.proven
    const work = () => linksOf(context).add(x.principal, proof.proven, note)
    await audited(x, 'link', root, work, toldOf, JSON.stringify(`${issuer}|${subject}`))
    await sendTo(x, reply, accountPage, ['Set-Cookie', dropCookie(x, proofCookie)])
  })
}

function ask(x: Exchange, reply: FastifyReply): Promise<void> {
  const proof = proofOf(x)
  if (proof === undefined) return sendTo(x, reply, accountPage)
  const { label, issuer, subject } = proof.proven
  const page = { proof: proof.id, label, issuer, subject, user: x.principal.user ?? '', account: accountPage }
  return sendPage(x, reply, linkPage({ ...page, header: headerOf(x), action: address, token: formToken(x) }))
}

/** What this very session has shown. */
function proofOf(x: Exchange): Proof | undefined {
  const proof = openCookie(x, proofCookie) as Proof | undefined
  return proof !== undefined && proof.session === x.principal.session ? proof : undefined
}

/** Who cannot link something is told why, in words of ours. */
async function orTell(x: Exchange, reply: FastifyReply, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (thrown) {
    const { code, message } = StorageError.from(thrown)
    if (code !== 'denied' && code !== 'exists' && code !== 'not-found' && code !== 'invalid') throw thrown
    const page = notLinkedPage({ header: headerOf(x), problem: message, account: accountPage })
    await sendPage(x, reply, page, {
      status: code === 'exists' ? 409 : httpStatus[code],
      headers: ['Set-Cookie', dropPending(x)],
    })
  }
}

function sessionOf({ principal }: Exchange): string {
  if (principal.session !== undefined) return principal.session
  throw new StorageError('denied', 'identities are linked by who is signed in with a browser', {
    reason: { rule: 'link', text: 'the caller did not come with a session' },
  })
}

function strange(): StorageError {
  return new StorageError('denied', 'nothing was linked: begin once more from the page of your account', {
    reason: { rule: 'link', text: 'this session was not sent to an issuer to link an identity, or too long ago' },
  })
}
