/** A real browser, told what to do over a pipe (Chrome DevTools Protocol, stable domains). */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import type { Test } from 'tap'

const program = '/usr/bin/chromium'

/** Why tests with it are skipped here; false where they are not. */
export const noBrowser = existsSync(program) ? false : 'Chromium is not installed (apt-get install chromium)'

interface Reply {
  readonly id?: number
  readonly method?: string
  readonly sessionId?: string
  readonly params?: Readonly<Record<string, unknown>>
  readonly result?: Readonly<Record<string, unknown>>
  readonly error?: { readonly message: string }
}

/** One browser and one page in it, until the test ends. */
export class Browser {
  readonly #process: ChildProcess
  readonly #waiting = new Map<number, (reply: Reply) => void>()
  readonly #loads: (() => void)[] = []
  /** What pages said to their console, refusals of the content policy among it. */
  readonly complaints: string[] = []
  #session: string | undefined
  #last = 0
  #text = ''

  static async open(t: Test): Promise<Browser> {
    const home = await mkdtemp(join(tmpdir(), 'portolan-chromium-'))
    const flags = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run']
    const child = spawn(program, [...flags, '--remote-debugging-pipe', `--user-data-dir=${home}`, 'about:blank'], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
      // Names of files are UTF-8 to it only in such a locale.
      env: { ...process.env, LC_ALL: 'C.UTF-8', HOME: home, XDG_CONFIG_HOME: home, XDG_CACHE_HOME: home },
    })
    const ended = once(child, 'exit')
    const browser = new Browser(child)
    t.teardown(async () => {
      await Promise.race([browser.#send('Browser.close', {}).catch(() => {}), ended])
      await ended
      await rm(home, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
    })
    await browser.#attach()
    return browser
  }

  private constructor(child: ChildProcess) {
    this.#process = child
    const output = child.stdio[4] as Readable
    output.setEncoding('utf8').on('data', (chunk: string) => this.#take(chunk))
  }

  /** A command to the page. */
  async command(method: string, params: object = {}): Promise<Readonly<Record<string, unknown>>> {
    return this.#send(method, params, this.#session)
  }

  /** Runs `act`, which makes the page go somewhere, and waits until it is there. */
  async going(act: () => Promise<unknown>): Promise<void> {
    const loaded = new Promise<void>((resolve) => this.#loads.push(resolve))
    await act()
    await loaded
  }

  async open(url: string): Promise<void> {
    await this.going(() => this.command('Page.navigate', { url }))
  }

  /** What an expression in the page comes to; the page itself needs no script for anything. */
  async ask(expression: string): Promise<unknown> {
    const { result, exceptionDetails } = await this.command('Runtime.evaluate', { expression, returnByValue: true })
    if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails))
    return (result as { readonly value?: unknown }).value
  }

  /** Clicks as a person would. */
  async click(selector: string): Promise<void> {
    await this.ask(`document.querySelector(${JSON.stringify(selector)}).scrollIntoView({ block: 'center' })`)
    const place = `(({ x, y, width, height }) => [x + width / 2, y + height / 2])(document.querySelector(${JSON.stringify(selector)}).getBoundingClientRect())`
    const [x, y] = (await this.ask(place)) as [number, number]
    const at = { x, y, button: 'left', clickCount: 1 }
    await this.command('Input.dispatchMouseEvent', { type: 'mousePressed', ...at })
    await this.command('Input.dispatchMouseEvent', { type: 'mouseReleased', ...at })
  }

  async type(text: string): Promise<void> {
    await this.command('Input.insertText', { text })
  }

  /** Puts files into a field for them, as the dialog would. */
  async choose(selector: string, files: readonly string[]): Promise<void> {
    const { root } = (await this.command('DOM.getDocument')) as { readonly root: { readonly nodeId: number } }
    const { nodeId } = await this.command('DOM.querySelector', { nodeId: root.nodeId, selector })
    await this.command('DOM.setFileInputFiles', { nodeId, files })
  }

  /** A picture of the whole page, PNG. */
  async picture(width: number, scheme: 'light' | 'dark'): Promise<Buffer> {
    const height = 800
    await this.command('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: false })
    await this.command('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: scheme }] })
    const { data } = await this.command('Page.captureScreenshot', { captureBeyondViewport: true })
    return Buffer.from(String(data), 'base64')
  }

  async #attach(): Promise<void> {
    const { targetId } = await this.#send('Target.createTarget', { url: 'about:blank' })
    const { sessionId } = await this.#send('Target.attachToTarget', { targetId, flatten: true })
    this.#session = String(sessionId)
    for (const domain of ['Page', 'Log', 'DOM', 'Runtime', 'Network']) await this.command(`${domain}.enable`)
  }

  async #send(method: string, params: object, sessionId?: string): Promise<Readonly<Record<string, unknown>>> {
    const id = ++this.#last
    const replied = new Promise<Reply>((resolve) => this.#waiting.set(id, resolve))
    const input = this.#process.stdio[3] as Writable
    input.write(`${JSON.stringify({ id, method, params, ...(sessionId && { sessionId }) })}\0`)
    const { result, error } = await replied
    if (error) throw new Error(`${method}: ${error.message}`)
    return result ?? {}
  }

  #take(chunk: string): void {
    const messages = (this.#text + chunk).split('\0')
    this.#text = messages.pop() ?? ''
    for (const message of messages) {
      const reply = JSON.parse(message) as Reply
      if (reply.id !== undefined) {
        this.#waiting.get(reply.id)?.(reply)
        this.#waiting.delete(reply.id)
      } else if (reply.method === 'Page.loadEventFired') {
        this.#loads.shift()?.()
      } else if (reply.method === 'Log.entryAdded') {
        this.complaints.push(JSON.stringify(reply.params))
      }
    }
  }
}
