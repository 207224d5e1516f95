/**
 * A process of a user that signs in with the tickets of that user (tickets.ts): it opens whatever KRB5CCNAME names with the
 * user's rights and no others. Asked and answered by lines of JSON; it ends with its input.
 */

import { createInterface } from 'node:readline'
import { loadTickets, type TicketExchange } from '../../client/tickets.ts'

let exchange: TicketExchange | undefined

async function answer(line: string): Promise<object> {
  const { service, proof } = JSON.parse(line) as { readonly service?: string; readonly proof?: string }
  if (service !== undefined) {
    const library = await loadTickets()
    if (!library) return { error: 'Kerberos takes the optional npm package kerberos, which is not built here' }
    exchange = await library.begin(service)
    return { token: exchange.token }
  }
  return { isProved: proof !== undefined && (await exchange?.proves(proof)) === true }
}

for await (const line of createInterface({ input: process.stdin })) {
  const told = await answer(line).catch((error: unknown) => ({
    error: error instanceof Error ? error.message : 'failed',
  }))
  process.stdout.write(`${JSON.stringify(told)}\n`)
}
