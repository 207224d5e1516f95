/** How pages for people are sent from routes below /.portolan/. */

import type { FastifyReply } from 'fastify'
import type { Exchange } from '../http/exchange.ts'
import { respond } from '../http/respond.ts'
import { formPageHeaders } from '../web/page.ts'

export async function sendPage(
  x: Exchange,
  reply: FastifyReply,
  page: string,
  { status = 200, headers = [] }: { readonly status?: number; readonly headers?: readonly string[] } = {},
): Promise<void> {
  reply.hijack()
  await respond(x, status, [...formPageHeaders, 'Cache-Control', 'no-store', ...headers], page)
}

/** 303: whatever the method was, the place is to be fetched. */
export async function sendTo(
  x: Exchange,
  reply: FastifyReply,
  location: string,
  headers: readonly string[] = [],
): Promise<void> {
  reply.hijack()
  const guards = ['Cache-Control', 'no-store', 'Referrer-Policy', 'no-referrer']
  await respond(x, 303, ['Location', location, ...guards, ...headers])
}
