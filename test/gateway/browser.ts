/** A browser of these tests, as far as cookies, redirects and the headers about the origin of a request go. */

import type { Answer } from './http.ts'
import { send } from './http.ts'

export interface Visit {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly form?: Readonly<Record<string, string>>
  readonly body?: string
  /** What the browser says of where the request comes from; a page of the gateway's own if absent. */
  readonly site?: 'same-origin' | 'cross-site' | 'same-site' | 'none' | 'unsaid'
}

export class Browser {
  readonly cookies = new Map<string, string>()
  readonly #port: () => number
  readonly #ca: string | undefined
  /** Set-Cookie headers of the last answer. */
  told: readonly string[] = []

  /** With `ca` over TLS. */
  constructor(port: () => number, ca?: string) {
    this.#port = port
    this.#ca = ca
  }

  /** The headers that cookies make. */
  get cookie(): string {
    return [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
  }

  /** One request; nothing is followed. */
  async visit(path: string, { method, headers, form, body, site = 'same-origin' }: Visit = {}): Promise<Answer> {
    const content = form ? new URLSearchParams(form).toString() : body
    const answer = await send(this.#port(), {
      path,
      ...(this.#ca !== undefined && { ca: this.#ca }),
      method: method ?? (content === undefined ? 'GET' : 'POST'),
      headers: {
        Accept: 'text/html,application/xhtml+xml,*/*;q=0.8',
        ...(site !== 'unsaid' && { 'Sec-Fetch-Site': site, 'Sec-Fetch-Mode': 'navigate' }),
        ...(this.cookies.size > 0 && { Cookie: this.cookie }),
        ...(form && { 'Content-Type': 'application/x-www-form-urlencoded' }),
        ...headers,
      },
      ...(content !== undefined && { body: content }),
    })
    this.told = answer.headers['set-cookie'] ?? []
    for (const line of this.told) this.#keep(line)
    return answer
  }

  /** The token of the forms on a page. */
  async token(path: string): Promise<string> {
    const { text } = await this.visit(path)
    return /name="csrf" value="([^"]+)"/.exec(text)?.[1] ?? ''
  }

  async signInByPassword(user: string, password: string, to = '/'): Promise<Answer> {
    const csrf = await this.token('/.portolan/login')
    return this.visit('/.portolan/login', { form: { csrf, user, password, to } })
  }

  #keep(line: string): void {
    const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
    if (/; Max-Age=0(;|$)/.test(line)) this.cookies.delete(name)
    else this.cookies.set(name, value)
  }
}
