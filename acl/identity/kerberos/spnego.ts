/**
 * A look at a token of HTTP Negotiate (RFC 4559) before Kerberos sees it: it must be the first and only leg of SPNEGO
 * (RFC 4178, section 4.2) with Kerberos as its first choice, or a bare token of Kerberos (RFC 4121, section 4.1).
 *
 * So none of the other mechanisms that a machine may have answers for it (NTLM proves nothing about a realm), none of
 * them has to be remembered between two requests, and what is mere rubbish ends here.
 */

import { refuse } from '../refusal.ts'

/** Largest token in bytes: those with the group lists of Active Directory have up to 48 KiB. */
export const maxTicketToken = 48 * 1024

const spnego = '2b0601050502'
/** RFC 4121, section 1, and what early versions of Windows took for it. */
const kerberos: ReadonlySet<string> = new Set(['2a864886f712010202', '2a864882f712010202'])
const ntlm = '2b06010401823702020a'
const ntlmStart = Buffer.from('NTLMSSP\0')

const tag = { application: 0x60, oid: 0x06, sequence: 0x30, octets: 0x04, first: 0xa0, second: 0xa1, third: 0xa2 }

/** Throws `unauthenticated`, rule kerberos-token, for anything else. */
export function requireKerberosToken(token: Buffer): void {
  if (token.length === 0 || token.length > maxTicketToken) {
    throw strange(`the token is empty or longer than ${maxTicketToken} bytes`)
  }
  if (token.subarray(0, ntlmStart.length).equals(ntlmStart))
    throw strange('it is a token of NTLM, which is not accepted')
  if (token[0] === tag.second) throw strange('it is a later leg of a negotiation, and there is none under way')
  const outer = new Der(token).take(tag.application)
  const mechanism = outer.take(tag.oid).hex()
  if (kerberos.has(mechanism)) {
    requireApReq(outer)
    return
  }
  if (mechanism !== spnego) throw strange('it is of a mechanism other than SPNEGO and Kerberos')
  const init = outer.take(tag.first).take(tag.sequence)
  const first = init.take(tag.first).take(tag.sequence).take(tag.oid).hex()
  if (first === ntlm) throw strange('the client has no ticket and would use NTLM, which is not accepted')
  if (!kerberos.has(first)) throw strange('the first choice of the client is not Kerberos')
  init.skip(tag.second)
  const inner = init.take(tag.third).take(tag.octets).take(tag.application)
  if (!kerberos.has(inner.take(tag.oid).hex())) throw strange('what it holds is no token of Kerberos')
  requireApReq(inner)
}

/** RFC 4121, section 4.1: the token id of KRB_AP_REQ, then that message (RFC 4120, section 5.5.1). */
function requireApReq(rest: Der): void {
  if (!rest.startsWith(0x01, 0x00, 0x6e)) throw strange('it holds no request with a ticket')
}

/** What is left to read of one element (X.690: definite lengths, as DER has them). */
class Der {
  #rest: Buffer

  constructor(bytes: Buffer) {
    this.#rest = bytes
  }

  hex(): string {
    return this.#rest.toString('hex')
  }

  startsWith(...bytes: readonly number[]): boolean {
    return bytes.every((byte, at) => this.#rest[at] === byte)
  }

  /** The next element, which must be of this kind. */
  take(kind: number): Der {
    const [found, first = 0x80] = this.#rest
    if (found !== kind) throw strange('it is no token of SPNEGO or Kerberos')
    const more = first < 0x80 ? 0 : first & 0x7f
    if (first === 0x80 || more > 3 || this.#rest.length < 2 + more) throw strange('a length in it is malformed')
    const length = more === 0 ? first : this.#rest.readUIntBE(2, more)
    const end = 2 + more + length
    if (end > this.#rest.length) throw strange('it ends too early')
    const element = new Der(this.#rest.subarray(2 + more, end))
    this.#rest = this.#rest.subarray(end)
    return element
  }

  skip(kind: number): void {
    if (this.#rest[0] === kind) this.take(kind)
  }
}

function strange(text: string) {
  return refuse('kerberos-token', text)
}
