/** A real browser for tests, spoken to over its own pipe (Chrome DevTools Protocol), so no port is opened. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import type { Test } from 'tap'
import { eventually } from './processes.ts'

const program = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((file) =>
  existsSync(file),
)

/** Why there is no browser here, or false. */
export const noChromium: string | false = program === undefined ? 'chromium is not installed' : false

type Answer = Readonly<Record<string, unknown>>

export class Chromium {
  readonly #send: (text: string) => void
  readonly #waiting = new Map<number, { resolve(answer: Answer): void; reject(error: Error): void }>()
  #session = ''
  #last = 0

  /** Starts one that ends with the test. */
  static async start(t: Test): Promise<Chromium> {
    const profile = mkdtempSync(join(tmpdir(), 'portolan-chromium-'))
    const words = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run']
    const quiet = [
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--no-proxy-server',
    ]
    const child = spawn(program ?? '', [...words, ...quiet, '--remote-debugging-pipe', `--user-data-dir=${profile}`], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
    })
    t.teardown(async () => {
      const ended = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined
      child.kill('SIGKILL')
      await ended
      rmSync(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
    })
    const [, , , input, output] = child.stdio as unknown as readonly [null, null, null, Writable, Readable]
    input.on('error', () => {})
    const browser = new Chromium((text) => void input.write(`${text}\0`))
    browser.#listen(output)
    await browser.#open()
    return browser
  }

  private constructor(send: (text: string) => void) {
    this.#send = send
  }

  /** Opens an address as if it were typed. */
  async go(url: string): Promise<void> {
    await this.#call('Page.navigate', { url })
  }

  /** What an expression is in the page that is open; what cannot be told now is undefined. */
  async look(expression: string): Promise<unknown> {
    const answer = await this.#call('Runtime.evaluate', { expression, returnByValue: true }).catch(() => undefined)
    return (answer?.result as { readonly value?: unknown } | undefined)?.value
  }

  /** Waits until the expression is true in whatever page is open then. */
  async until(expression: string, what: string): Promise<void> {
    await eventually(async () => (await this.look(expression)) === true, 30_000, what)
  }

  /** Types into a field and sends its form with the button a person would press. */
  async submit(fields: Readonly<Record<string, string>>): Promise<void> {
    const names = Object.keys(fields)
    await this.until(`document.querySelector('[name="${names[0]}"]') !== null`, 'there is no such form')
    const steps = names.map((name) => `form.elements['${name}'].value = ${JSON.stringify(fields[name])};`)
    await this.look(
      `{ const form = document.querySelector('[name="${names[0]}"]').form; ${steps.join(' ')} form.querySelector('button').click() }`,
    )
  }

  async cookies(url: string): Promise<ReadonlyArray<Answer>> {
    return (await this.#call('Network.getCookies', { urls: [url] })).cookies as ReadonlyArray<Answer>
  }

  async #open(): Promise<void> {
    const { targetId } = await this.#call('Target.createTarget', { url: 'about:blank' })
    const { sessionId } = await this.#call('Target.attachToTarget', { targetId, flatten: true })
    this.#session = String(sessionId)
    await this.#call('Page.enable', {})
  }

  #call(method: string, params: object): Promise<Answer> {
    const id = ++this.#last
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    this.#waiting.set(id, { resolve, reject })
    this.#send(JSON.stringify({ id, method, params, ...(this.#session !== '' && { sessionId: this.#session }) }))
    return promise
  }

  #listen(output: Readable): void {
    let text = ''
    output.setEncoding('utf8')
    output.on('data', (chunk: string) => {
      const messages = (text + chunk).split('\0')
      text = messages.pop() ?? ''
      for (const message of messages) this.#settle(JSON.parse(message))
    })
    output.on('close', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('the browser has ended'))
      this.#waiting.clear()
    })
    output.on('error', () => {})
  }

  #settle({ id, result, error }: { readonly id?: number; readonly result?: Answer; readonly error?: unknown }): void {
    const waiting = id === undefined ? undefined : this.#waiting.get(id)
    if (id === undefined || !waiting) return
    this.#waiting.delete(id)
    if (error === undefined) waiting.resolve(result ?? {})
    else waiting.reject(new Error(JSON.stringify(error)))
  }
}
