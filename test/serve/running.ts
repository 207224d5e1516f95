/** A gateway in a process of its own, for tests. */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import type { Ready } from '../../gateway/supervisor.ts'

export interface LogLine {
  readonly level: string
  readonly msg: string
  readonly role: string
  readonly [key: string]: unknown
}

/** Starts one in a directory of its own; `configOf` may put files there. */
export async function run(
  t: Test,
  configOf: (directory: string) => string | Promise<string>,
  workerFile?: string,
  environment: NodeJS.ProcessEnv = {},
): Promise<Running> {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-serve-'))
  return new Running(t, directory, await configOf(directory), { workerFile, environment })
}

export class Running {
  readonly directory: string
  readonly configFile: string
  readonly process: ChildProcess
  readonly ended: Promise<number | null>
  readonly #ready: Promise<Ready>
  stderr = ''

  constructor(
    t: Test,
    directory: string,
    config: string,
    { workerFile, environment }: { readonly workerFile: string | undefined; readonly environment: NodeJS.ProcessEnv },
  ) {
    this.directory = directory
    this.configFile = join(directory, 'portolan.yaml')
    this.configure(config)
    const file = fileURLToPath(new URL('./run.ts', import.meta.url))
    const args = [file, this.configFile, ...(workerFile === undefined ? [] : [workerFile])]
    this.process = spawn(process.execPath, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...environment },
    })
    this.process.stderr?.on('data', (chunk) => {
      this.stderr += String(chunk)
    })
    this.ended = once(this.process, 'exit').then(([code]) => code as number | null)
    this.#ready = Promise.race([
      this.#firstLine().then((line) => JSON.parse(line) as Ready),
      this.ended.then((code) => {
        throw new Error(`the gateway ended with ${code}: ${this.stderr}`)
      }),
    ])
    this.#ready.catch(() => {})
    t.teardown(async () => {
      this.process.kill('SIGKILL')
      await this.ended
      // Workers notice that the supervisor is gone and end by themselves; they may still write a log line.
      rmSync(this.directory, { recursive: true, force: true, maxRetries: 20 })
    })
  }

  async #firstLine(): Promise<string> {
    let text = ''
    for await (const chunk of this.process.stdout ?? []) {
      text += String(chunk)
      if (text.includes('\n')) return text
    }
    // It ended, which the caller learns of as well.
    return new Promise(() => {})
  }

  ready(): Promise<Ready> {
    return this.#ready
  }

  configure(text: string): void {
    writeFileSync(this.configFile, text)
  }

  async url(): Promise<string> {
    return (await this.#ready).addresses[0]?.url ?? ''
  }

  /** Lines of the log file that the configuration names `log`. */
  lines(): LogLine[] {
    const file = join(this.directory, 'log')
    // Between a rotation and the signal there is none.
    const text = existsSync(file) ? readFileSync(file, 'utf8') : ''
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as LogLine)
  }

  /** Resolves with the first log line after `from` of this message. There is no event for it, so it looks again. */
  async line(message: string, from = 0): Promise<LogLine> {
    for (;;) {
      const found = this.lines()
        .slice(from)
        .find(({ msg }) => msg === message)
      if (found) return found
      await sleep(20)
    }
  }

  signal(signal: 'SIGHUP' | 'SIGTERM' | 'SIGINT'): void {
    this.process.kill(signal)
  }
}
